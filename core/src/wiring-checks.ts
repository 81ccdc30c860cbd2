import { compileRule } from "./rules.ts";
import { messageOf } from "./errors.ts";
import { contractNameFault, serviceNameFault } from "./names.ts";
import { addressOf } from "./ports/transport.ts";
import { retryPolicy } from "./retry.ts";
import type { Binding, HandlerOptions, Service } from "./service.ts";
import { allContracts, sourceOf } from "./sources.ts";
import { type AnyContract, type Uses, useVerbs } from "./uses.ts";

/** Every way in which the services cannot work together, each a sentence with the places. Empty when they can. */
export function checkServices(services: readonly Service[]): readonly string[] {
  const faults = [...new Set([...services.flatMap(kindFaults)])];
  if (faults.length > 0) return faults; // what is not a contract cannot be checked further
  return [
    ...new Set([
      ...serviceFaults(services),
      ...allContracts(services).flatMap(contractFaults),
      ...doubleNameFaults(allContracts(services)),
      ...services.flatMap(bindingFaults),
      ...ownerFaults(services),
      ...services.flatMap(subscriptionFaults),
    ]),
  ];
}

const bindVerbs: Readonly<Record<Binding["verb"], AnyContract["kind"]>> = {
  handle: "command",
  on: "event",
  answer: "query",
  serve: "feed",
  consume: "stream",
};

/** Type checks find these in TypeScript; services written in JavaScript come here. */
function kindFaults(service: Service): readonly string[] {
  const used = Object.entries(useVerbs).flatMap(([verb, kind]) =>
    ((service.uses as Uses)[verb as keyof Uses] ?? [])
      .filter((contract: AnyContract | undefined) => contract?.kind !== kind)
      .map((contract: AnyContract | undefined) => `Service "${service.name}" ${verb} ${described(contract)}, which is no ${kind}.`),
  );
  const bound = service.bindings
    .filter(({ verb, contract }) => (contract as AnyContract | undefined)?.kind !== bindVerbs[verb])
    .map(({ verb, contract, place }) => `${verb}() takes a ${bindVerbs[verb]}; ${described(contract)} is none${at(place)}.`);
  return [...used, ...bound];
}

function described(contract: AnyContract | undefined): string {
  return contract?.name === undefined ? "something that is not a contract (a circular import makes it undefined)" : `the ${contract.kind} "${contract.name}"`;
}

function serviceFaults(services: readonly Service[]): readonly string[] {
  const illegal = services.flatMap(({ name, place }) => {
    const fault = serviceNameFault(name);
    return fault === undefined ? [] : [`The service name "${name}" is not legal${at(place)}: ${fault}.`];
  });
  const doubled = doubles(services, ({ name }) => name).map(
    ([first, second]) => `Two services are called "${first.name}": one${at(first.place)}, one${at(second.place)}. Give each its own name.`,
  );
  return [...illegal, ...doubled];
}

const partitionsMax = 256;

function contractFaults(contract: AnyContract): readonly string[] {
  const faults: string[] = [];
  const named = `${contract.kind} "${contract.name}"${at(contract.definedAt)}`;
  const check = (label: string, name: string): void => {
    const fault = contractNameFault(name);
    if (fault !== undefined) faults.push(`The ${label} "${name}" of ${named} is not legal: ${fault}.`);
  };
  check("name", contract.name);
  if (contract.kind === "command" && contract.queue !== contract.name) check("queue", contract.queue);
  if (contract.kind === "event" && contract.topic !== contract.name) check("topic", contract.topic);
  if (!isCount(contract.version)) faults.push(`The version of ${named} is ${String(contract.version)}; give a whole number from 1.`);
  for (let version = 1; isCount(contract.version) && version < Math.min(contract.version, 1_000); version++) {
    if (typeof contract.upcasters[version] === "function") continue;
    faults.push(`The ${named} is at version ${contract.version} and has no upcaster from ${version}; add upcasters: { ${version}: (older) => newer }.`);
  }
  if (contract.kind === "stream" && !(isCount(contract.partitions) && contract.partitions <= partitionsMax)) {
    faults.push(`The ${named} has ${String(contract.partitions)} partitions; give a whole number from 1 to ${partitionsMax}.`);
  }
  return faults;
}

function doubleNameFaults(contracts: readonly AnyContract[]): readonly string[] {
  return doubles([...new Set(contracts)], ({ name }) => name).map(
    ([first, second]) =>
      `Two contracts are called "${first.name}": a ${first.kind}${at(first.definedAt)} and a ${second.kind}${at(second.definedAt)}. ` +
      `Give one another name; if both are the same line, its module is loaded twice.`,
  );
}

const optionBounds: readonly (readonly [keyof HandlerOptions, number, number])[] = [
  ["concurrency", 1, 1_000],
  ["prefetch", 1, 10_000],
  ["lockMs", 1_000, 300_000],
];

function bindingFaults(service: Service): readonly string[] {
  return service.bindings.flatMap(({ verb, contract, options, place }) => {
    const faults: string[] = [];
    const where = `${verb}("${contract.name}") of service "${service.name}"${at(place)}`;
    for (const [option, least, most] of optionBounds) {
      const value = options[option];
      if (value === undefined || (isCount(value) && value >= least && value <= most)) continue;
      faults.push(`${option} of ${where} is ${String(value)}; give a whole number from ${least} to ${most}.`);
    }
    for (const name of [options.name, options.group]) {
      const fault = name === undefined ? undefined : serviceNameFault(name);
      if (fault !== undefined) faults.push(`The name "${name}" of ${where} is not legal: ${fault}.`);
    }
    attempt(faults, where, () => retryPolicy(options.retry));
    if (options.where !== undefined) attempt(faults, where, () => compileRule(options.where ?? {}));
    return faults;
  });
}

function attempt(faults: string[], where: string, check: () => unknown): void {
  try {
    check();
  } catch (error) {
    faults.push(`${where}: ${messageOf(error)}`);
  }
}

/** Who answers for a queue: one service, so that "one owner acts" is true. */
function ownerFaults(services: readonly Service[]): readonly string[] {
  const owned = services.flatMap((service) =>
    service.bindings
      .filter(({ verb }) => verb === "handle" || verb === "answer" || verb === "serve")
      .map((binding) => ({ service, binding, address: addressOf(sourceOf(service, binding)) })),
  );
  const sameContract = doubles(owned, ({ binding }) => binding.contract.name).map(
    ([first, second]) =>
      `The ${first.binding.contract.kind} "${first.binding.contract.name}" has two owners: ` +
      `service "${first.service.name}"${at(first.binding.place)} and service "${second.service.name}"${at(second.binding.place)}. ` +
      `Exactly one handler may own it; if both should react, make it an event.`,
  );
  const sameQueue = doubles(owned, ({ address }) => address)
    .filter(([first, second]) => first.service !== second.service && first.binding.contract !== second.binding.contract)
    .map(
      ([first, second]) =>
        `The queue "${first.address}" is owned by service "${first.service.name}"${at(first.binding.place)} and by service "${second.service.name}"${at(second.binding.place)}. ` +
        `Commands that share a queue need one owner.`,
    );
  return [...sameContract, ...sameQueue];
}

function subscriptionFaults(service: Service): readonly string[] {
  const reading = service.bindings.filter(({ verb }) => verb === "on" || verb === "consume");
  return doubles(reading, (binding) => `${addressOf(sourceOf(service, binding))} ${binding.contract.name}`).map(
    ([first, second]) =>
      `Service "${service.name}" binds "${first.contract.name}" twice under one name:${at(first.place)} and${at(second.place)}. ` +
      `Give each its own ${first.verb === "on" ? "{ name }" : "{ group }"}, so that one failing does not repeat the other.`,
  );
}

/** Pairs of different members with the same key: the first with each later one. */
function doubles<Member>(members: readonly Member[], keyOf: (member: Member) => string): (readonly [Member, Member])[] {
  return [...Map.groupBy(members, keyOf).values()].flatMap(([first, ...others]) =>
    others.map((other) => [first as Member, other] as const),
  );
}

function at(place: string): string {
  return place === "" ? "" : ` at ${place}`;
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}
