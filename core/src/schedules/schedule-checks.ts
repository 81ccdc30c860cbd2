import { at, described, doubles, isCount, shown } from "../wiring/faults.ts";
import { serviceNameFault } from "../wiring/names.ts";
import type { Service } from "../service.ts";
import { type AnyContract, type Uses, declaredIn } from "../wiring/uses.ts";
import type { MissedRule, Rule, ScheduleDefinition } from "./definition.ts";
import { timingFaults } from "./timing.ts";

const rules: readonly MissedRule[] = ["last", "skip", "all"];
const missedMaxMost = 1_000;
const graceMsLeast = 1_000;
const graceMsMost = 86_400_000;
const kinds: readonly string[] = ["command", "event", "stream"];

/** What is wrong with the schedules of a service, each a sentence with its place. */
export function scheduleFaults(service: Service): readonly string[] {
  const { schedules = [], uses, name } = service;
  const doubled = doubles(schedules, (each) => each.name).map(
    ([first, second]) =>
      `Service "${name}" has two schedules "${first.name}": one${at(first.place)}, one${at(second.place)}. Give each its own name.`,
  );
  return [...doubled, ...schedules.flatMap((each) => faultsOf(each, name, uses as Uses))];
}

function faultsOf(definition: ScheduleDefinition, service: string, uses: Uses): readonly string[] {
  const { name, contract, input, timing, rule, place } = definition;
  const where = `The schedule ${shown(name)} of service "${service}"${at(place)}`;
  const faults: string[] = [];
  const illegal = serviceNameFault(name);
  if (illegal !== undefined) faults.push(`${where} has a name that is not legal: ${illegal}.`);
  if (uses.store === undefined)
    faults.push(
      `${where} has no store to be kept in. Give the service one: service("${service}", { store: sqlite({ file }) }).`,
    );
  faults.push(...contractFaults(contract, uses).map((fault) => `${where} ${fault}`));
  if (typeof input !== "function")
    faults.push(
      `${where} has no input; write input: ({ due }) => ({ … }), which makes its message.`,
    );
  faults.push(...timingFaults(timing).map((fault) => `${where} ${fault}.`));
  faults.push(...ruleFaults(rule).map((fault) => `${where} ${fault}.`));
  return faults;
}

function contractFaults(contract: AnyContract | undefined, uses: Uses): readonly string[] {
  if (contract === undefined || !kinds.includes(contract.kind))
    return [`sends ${described(contract)}; give a command, an event or a stream.`];
  if (declaredIn(uses).includes(contract)) return [];
  const verb = { command: "sends", event: "publishes", stream: "appends" }[
    contract.kind as "event"
  ];
  return [
    `sends ${described(contract)}, which the service does not declare. Add it: ${verb}: [...].`,
  ];
}

/** What is wrong with it, each the end of a sentence. */
export function ruleFaults({ missed, missedMax, graceMs }: Rule): readonly string[] {
  const faults: string[] = [];
  if (!rules.includes(missed))
    faults.push(`has missed ${shown(missed)}; give "last", "skip" or "all"`);
  if (!isCount(missedMax) || missedMax > missedMaxMost)
    faults.push(
      `has missedMax ${shown(missedMax)}; give a whole number from 1 to ${missedMaxMost}`,
    );
  if (!isCount(graceMs) || graceMs < graceMsLeast || graceMs > graceMsMost)
    faults.push(
      `has graceMs ${shown(graceMs)}; give milliseconds, a whole number from ${graceMsLeast} to ${graceMsMost}`,
    );
  return faults;
}
