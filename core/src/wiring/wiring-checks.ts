import { compileChanges } from "./acceptances.ts";
import { batchFaults, batchSharingFaults } from "../batch/options.ts";
import { contractFaults, doubleNameFaults } from "./contract-checks.ts";
import { at, described, doubles, isCount, shown } from "./faults.ts";
import { sharedFormerNameFaults } from "./former-names.ts";
import { compileRule } from "../rules.ts";
import { messageOf } from "../errors.ts";
import { circuitFaults } from "../flow/circuit-options.ts";
import { rateLimitFaults } from "../flow/rate-limit.ts";
import { orderingKey } from "./key.ts";
import { serviceNameFault } from "./names.ts";
import { addressOf } from "../ports/transport.ts";
import { retryPolicy } from "../handling/retry.ts";
import type { CallDepthPolicy } from "../runtime.ts";
import { sagaFaults } from "../sagas/saga-checks.ts";
import { viewFaults } from "../views/view-checks.ts";
import { scheduleFaults } from "../schedules/schedule-checks.ts";
import { deciderFaults } from "../deciders/decider-checks.ts";
import { storeFaults } from "../stores/store-checks.ts";
import { stateFaults, stateSharingFaults } from "./session-checks.ts";
import type { Binding, HandlerDefaults, HandlerOptions, Service } from "../service.ts";
import { timeoutFaults } from "../handling/time-limit.ts";
import { allContracts, sourceOf } from "./sources.ts";
import { type AnyContract, type Uses, useVerbs } from "./uses.ts";

/** Every way in which the services cannot work together, each a sentence with the places. Empty when they can. */
export function checkServices(services: readonly Service[]): readonly string[] {
  const present = services.filter(isService);
  const missing = services.map((service, index) =>
    isService(service)
      ? ""
      : `services[${index}] is no service (a circular import makes it undefined).`,
  );
  // What is not a contract cannot be checked further; everything else can, so that all faults come at once.
  const sound = present.map(withoutFaulty);
  return [
    ...new Set([
      ...missing.filter((fault) => fault !== ""),
      ...present.flatMap(kindFaults),
      ...serviceFaults(present),
      ...allContracts(sound).flatMap(contractFaults),
      ...doubleNameFaults(allContracts(sound)),
      ...sound.flatMap(bindingFaults),
      ...[storeFaults, sagaFaults, deciderFaults, viewFaults, scheduleFaults].flatMap((each) =>
        sound.flatMap(each),
      ),
      ...ownerFaults(sound),
      ...sharedFormerNameFaults(sound),
      ...subscriptionFaults(sound),
      ...batchSharingFaults(sound),
      ...stateSharingFaults(sound),
    ]),
  ];
}

/** Faults in what `connect` takes beside the services. */
export function checkOptions(
  handlers: HandlerDefaults,
  callDepth: CallDepthPolicy | undefined,
): readonly string[] {
  const faults = optionFaults(handlers, "connect({ handlers })");
  if (callDepth === undefined) return faults;
  const { max, policy } = callDepth;
  if (!isCount(max)) faults.push(`callDepth.max is ${String(max)}; give a whole number from 1.`);
  if (policy !== "warn" && policy !== "refuse")
    faults.push(`callDepth.policy is "${String(policy)}"; give "warn" or "refuse".`);
  return faults;
}

const bindVerbs: Readonly<Record<Binding["verb"], AnyContract["kind"]>> = {
  handle: "command",
  on: "event",
  answer: "query",
  serve: "feed",
  consume: "stream",
};

function isService(service: Service | undefined): service is Service {
  return (
    Array.isArray(service?.bindings) && typeof service.uses === "object" && service.uses !== null
  );
}

/** What a service says under one verb. JavaScript may say anything there. */
function used(service: Service, verb: string): readonly (AnyContract | undefined)[] {
  const list = (service.uses as Readonly<Record<string, unknown>>)[verb] ?? [];
  return Array.isArray(list) ? list : [];
}

function withoutFaulty(service: Service): Service {
  const uses = Object.entries(useVerbs).map(([verb, kind]) => [
    verb,
    used(service, verb).filter((contract) => contract?.kind === kind),
  ]);
  const bindings = service.bindings.filter(
    ({ verb, contract }) => (contract as AnyContract | undefined)?.kind === bindVerbs[verb],
  );
  return { ...service, uses: { ...service.uses, ...Object.fromEntries(uses) } as Uses, bindings };
}

/** Type checks find these in TypeScript; services written in JavaScript come here. */
function kindFaults(service: Service): readonly string[] {
  const verbs = Object.entries(service.uses as object).flatMap(([verb, list]) => {
    if (verb === "store" || verb === "views") return [];
    if (!Object.hasOwn(useVerbs, verb))
      return [
        `Service "${service.name}" uses "${verb}", which is no verb; there are ${Object.keys(useVerbs).join(", ")}.`,
      ];
    return list === undefined || Array.isArray(list)
      ? []
      : [`Service "${service.name}" ${verb} something that is no list; write ${verb}: [...].`];
  });
  const uses = Object.entries(useVerbs).flatMap(([verb, kind]) =>
    used(service, verb)
      .filter((contract) => contract?.kind !== kind)
      .map(
        (contract) =>
          `Service "${service.name}" ${verb} ${described(contract)}, which is no ${kind}.`,
      ),
  );
  const bound = service.bindings.flatMap(({ verb, contract, handler, place }) => {
    const faults: string[] = [];
    if ((contract as AnyContract | undefined)?.kind !== bindVerbs[verb])
      faults.push(
        `${verb}() takes a ${bindVerbs[verb]}; ${described(contract)} is none${at(place)}.`,
      );
    if (typeof handler !== "function")
      faults.push(
        `${verb}() of ${described(contract)} has no handler function${at(place)}; a circular import makes it undefined.`,
      );
    return faults;
  });
  return [...verbs, ...uses, ...bound];
}

function serviceFaults(services: readonly Service[]): readonly string[] {
  const illegal = services.flatMap(({ name, place }) => {
    const fault = serviceNameFault(name);
    return fault === undefined
      ? []
      : [`The service name "${name}" is not legal${at(place)}: ${fault}.`];
  });
  const doubled = doubles(services, ({ name }) => name).map(
    ([first, second]) =>
      `Two services are called "${first.name}": one${at(first.place)}, one${at(second.place)}. Give each its own name.`,
  );
  return [...illegal, ...doubled];
}

const optionBounds: readonly (readonly [keyof HandlerDefaults, number, number])[] = [
  ["concurrency", 1, 1_000],
  ["prefetch", 1, 10_000],
  ["lockMs", 1_000, 300_000],
  ["timeoutMs", 1, 86_400_000],
];

function bindingFaults(service: Service): readonly string[] {
  return service.bindings.flatMap((binding) => {
    const { verb, contract, options, place } = binding;
    const where = `${verb}("${contract.name}") of service "${service.name}"${at(place)}`;
    const faults = optionFaults(options, where);
    for (const name of [options.name, options.group]) {
      const fault = name === undefined ? undefined : serviceNameFault(name);
      if (fault !== undefined)
        faults.push(`The name "${name}" of ${where} is not legal: ${fault}.`);
    }
    faults.push(...stateFaults(binding, where), ...timeoutFaults(binding, where));
    faults.push(...orderFaults(contract, options, where), ...batchFaults(binding, where));
    faults.push(...flowFaults(binding, where));
    if (options.set !== undefined) attempt(faults, where, () => compileChanges(options.set ?? {}));
    const everyInstance: unknown = options.everyInstance ?? false;
    if (typeof everyInstance !== "boolean" || (everyInstance && verb !== "on"))
      faults.push(
        `everyInstance of ${where} is ${shown(everyInstance)}; give true or false, and only with on().`,
      );
    if (options.where !== undefined) attempt(faults, where, () => compileRule(options.where ?? {}));
    return faults;
  });
}

function orderFaults(
  contract: AnyContract,
  { orderedBy, onDeadLetter = "continue" }: HandlerOptions,
  where: string,
): string[] {
  const keyed = orderingKey(contract) !== undefined;
  const faults: string[] = [];
  if (orderedBy !== undefined && keyed)
    faults.push(
      `${where} says orderedBy, and the ${contract.kind} has a key, which orders its messages everywhere. Remove one of them.`,
    );
  if (onDeadLetter !== "continue" && onDeadLetter !== "park")
    faults.push(`onDeadLetter of ${where} is ${shown(onDeadLetter)}; give "continue" or "park".`);
  else if (onDeadLetter === "park" && !keyed)
    faults.push(
      `${where} parks keys behind a dead letter, and the ${contract.kind} has no key. Give the contract one: key: (value) => value.id.`,
    );
  return faults;
}

function flowFaults({ verb, options, batch }: Binding, where: string): string[] {
  const { rateLimit, circuitBreaker } = options;
  const said = { rateLimit, circuitBreaker };
  if (verb === "answer" || verb === "serve" || batch !== undefined)
    return Object.entries(said)
      .filter(([, value]) => value !== undefined)
      .map(
        ([option]) =>
          `${where} says ${option}, which is for handlers of single messages. Bound calls and batches by concurrency.`,
      );
  return rateLimit === undefined
    ? []
    : rateLimitFaults(rateLimit).map((fault) => `${fault}, in ${where}.`);
}

function optionFaults(options: HandlerDefaults, where: string): string[] {
  const faults: string[] = [];
  for (const [option, least, most] of optionBounds) {
    const value: unknown = options[option];
    if (value === undefined || (isCount(value) && value >= least && value <= most)) continue;
    faults.push(
      `${option} of ${where} is ${shown(value)}; give a whole number from ${least} to ${most}.`,
    );
  }
  attempt(faults, where, () => retryPolicy(options.retry));
  if (options.circuitBreaker !== undefined)
    faults.push(...circuitFaults(options.circuitBreaker).map((fault) => `${fault}, in ${where}.`));
  return faults;
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
    .filter(
      ([first, second]) =>
        first.service !== second.service && first.binding.contract !== second.binding.contract,
    )
    .map(
      ([first, second]) =>
        `The queue "${first.address}" is owned by service "${first.service.name}"${at(first.binding.place)} and by service "${second.service.name}"${at(second.binding.place)}. ` +
        `Commands that share a queue need one owner.`,
    );
  return [...sameContract, ...sameQueue, ...callQueueFaults(services)];
}

/** Calls have a queue of their own: who waits for an answer must not stand behind commands. */
function callQueueFaults(services: readonly Service[]): readonly string[] {
  const contracts = new Set(allContracts(services));
  const calls = new Map(
    [...contracts]
      .filter(({ kind }) => kind === "query" || kind === "feed")
      .map((contract) => [contract.name, contract]),
  );
  return [...contracts].flatMap((contract) => {
    const call =
      contract.kind === "command" && contract.queue !== contract.name
        ? calls.get(contract.queue)
        : undefined;
    if (contract.kind !== "command" || call === undefined) return [];
    return [
      `The command "${contract.name}"${at(contract.definedAt)} names the queue "${contract.queue}", which is that of the ${call.kind} "${call.name}"${at(call.definedAt)}. Give it another queue.`,
    ];
  });
}

function subscriptionFaults(services: readonly Service[]): readonly string[] {
  const reading = services.flatMap((service) =>
    service.bindings
      .filter(({ verb }) => verb === "on" || verb === "consume")
      .map((binding) => ({ service, binding, address: addressOf(sourceOf(service, binding)) })),
  );
  return doubles(reading, ({ address, binding }) => `${address} ${binding.contract.name}`).map(
    ([first, second]) => {
      const { contract, verb, place } = first.binding;
      const remedy = `Give each its own ${verb === "on" ? "{ name }" : "{ group }"}`;
      if (first.service === second.service)
        return `Service "${first.service.name}" binds "${contract.name}" twice under one name:${at(place)} and${at(second.binding.place)}. ${remedy}, so that one failing does not repeat the other.`;
      return `Services "${first.service.name}"${at(place)} and "${second.service.name}"${at(second.binding.place)} read "${first.address}" together, so each would get a part only. ${remedy}.`;
    },
  );
}
