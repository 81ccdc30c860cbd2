import type { Command, Event } from "@waybill/contracts";
import { WaybillError } from "../errors.ts";
import type { Service } from "../service.ts";
import { contractFaults } from "../wiring/contract-checks.ts";
import { at, described, doubles, shown } from "../wiring/faults.ts";
import type { Uses } from "../wiring/uses.ts";
import type { DeciderDefinition, RejectedRule } from "./definition.ts";

const rules: readonly RejectedRule[] = ["deadLetter", "ignore"];
const snapshotEveryMost = 10_000;
const eventsMaxBounds = [1_000, 10_000_000] as const;

/** What is wrong with a service that is a decider, each a sentence with its place. */
export function deciderFaults(service: Service): readonly string[] {
  const { decider: definition, uses } = service;
  if (definition === undefined) return [];
  const { name, place } = definition;
  const faults: string[] = [];
  if ((uses as Uses).store === undefined)
    faults.push(
      `The decider "${name}"${at(place)} has no store. Give it one: store: sqlite({ file }).`,
    );
  const commands = listFaults(definition, "command");
  const events = listFaults(definition, "event");
  faults.push(...commands, ...events, ...optionFaults(definition));
  // What is no list of contracts cannot be checked further.
  if (commands.length === 0) faults.push(...commandFaults(definition));
  if (events.length === 0) faults.push(...eventFaults(definition));
  return faults;
}

/** Throws WIRING_INVALID with all faults of a decider at once, as `connect` does. */
export function checkDecider(service: Service): void {
  const faults = deciderFaults(service);
  if (faults.length === 0) return;
  const list = faults.map((fault) => `  - ${fault}`).join("\n");
  throw new WaybillError("WIRING_INVALID", `The decider does not fit together:\n${list}`, {
    details: { faults },
  });
}

function listFaults(definition: DeciderDefinition, kind: "command" | "event"): string[] {
  const of = `of the decider "${definition.name}"${at(definition.place)}`;
  const option = `${kind}s` as const;
  // JavaScript may give anything.
  const list: unknown = definition[option];
  if (!Array.isArray(list) || list.length === 0)
    return [`The ${option} ${of} are no list; write ${option}: [...].`];
  const others = (list as readonly (Command | Event | undefined)[]).filter(
    (contract) => contract?.kind !== kind,
  );
  if (others.length > 0)
    return others.map(
      (contract) => `The ${option} ${of} have ${described(contract)}. Take it out.`,
    );
  return doubles(list as readonly Command[], (contract) => contract.name).map(
    ([first]) => `The ${kind} "${first.name}" ${of} is declared twice. Remove one.`,
  );
}

function commandFaults(definition: DeciderDefinition): string[] {
  const { name, place, commands, decide, key } = definition;
  const of = `of the decider "${name}"${at(place)}`;
  const faults = functionFaults(definition, "decide", [commands, decide]);
  if (key !== undefined && typeof key !== "function")
    faults.push(`The key ${of} is no function; write key: (input) => input.id.`);
  if (key === undefined)
    for (const command of commands)
      if (command.key === undefined)
        faults.push(
          `Nothing says for which key the command "${command.name}" ${of} is. Give the command a key, which also keeps its order, or the decider: key: (input) => input.id.`,
        );
  return faults;
}

function eventFaults(definition: DeciderDefinition): string[] {
  const { name, place, events, evolve, publishes } = definition;
  const of = `of the decider "${name}"${at(place)}`;
  const faults = functionFaults(definition, "evolve", [events, evolve]);
  // Those that are not published are no part of the uses, where the others are checked.
  faults.push(...events.flatMap(contractFaults));
  const list: unknown = publishes;
  if (!Array.isArray(list)) return [...faults, `What is published ${of} is no list of events.`];
  for (const event of publishes)
    if (!events.includes(event))
      faults.push(
        `What is published ${of} has ${described(event)}, which is none of its events. Add it to events, or take it out of publishes.`,
      );
  return faults;
}

function functionFaults(
  { name, place }: DeciderDefinition,
  option: "decide" | "evolve",
  [contracts, given]: readonly [readonly (Command | Event)[], unknown],
): string[] {
  const of = `of the decider "${name}"${at(place)}`;
  const functions = Object(given) as Readonly<Record<string, unknown>>;
  const names = contracts.map((contract) => contract.name);
  const missing = names.filter(
    (each) => !Object.hasOwn(functions, each) || typeof functions[each] !== "function",
  );
  const idle = Object.keys(functions).filter((each) => !names.includes(each));
  return [
    ...missing.map((each) => `\`${option}\` ${of} has no function for "${each}". Add it.`),
    ...idle.map(
      (each) =>
        `\`${option}\` ${of} has ${shown(each)}, which is none of its ${option === "decide" ? "commands" : "events"}. Add the contract, or take it out.`,
    ),
  ];
}

function optionFaults(definition: DeciderDefinition): string[] {
  const { name, place, state, initial, rejected } = definition;
  const of = `of the decider "${name}"${at(place)}`;
  const faults: string[] = [];
  const validate: unknown = (state as Partial<DeciderDefinition["state"]> | undefined)?.[
    "~standard"
  ]?.validate;
  if (typeof validate !== "function")
    faults.push(
      `The state ${of} is no Standard Schema; use zod, valibot, arktype or another one that is.`,
    );
  if (typeof initial !== "function")
    faults.push(`The initial state ${of} is no function; write initial: () => ({ … }).`);
  if (!rules.includes(rejected))
    faults.push(`The rule rejected ${of} is ${shown(rejected)}; give "deadLetter" or "ignore".`);
  const wholes = [
    ["snapshotEvery", definition.snapshotEvery, [0, snapshotEveryMost]],
    ["stateVersion", definition.stateVersion, [1, Number.MAX_SAFE_INTEGER]],
    ["eventsMax", definition.eventsMax, eventsMaxBounds],
  ] as const;
  for (const [option, value, [least, most]] of wholes)
    if (!Number.isSafeInteger(value) || value < least || value > most)
      faults.push(
        `${option} ${of} is ${shown(value)}; give a whole number from ${least} to ${most}.`,
      );
  return faults;
}
