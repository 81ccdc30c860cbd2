import { WaybillError } from "../errors.ts";
import { at, described, doubles, shown } from "../wiring/faults.ts";
import { serviceNameFault } from "../wiring/names.ts";
import type { Service } from "../service.ts";
import type { Uses } from "../wiring/uses.ts";
import type { SagaDefinition, SagaRule, Step, Transition } from "./definition.ts";

const rules: readonly SagaRule[] = ["retry", "deadLetter", "ignore"];
const archiveMsLeast = 60_000;
const archiveMsMost = 10 * 365 * 86_400_000;

/** What is wrong with a service that is a saga, each a sentence with its place. */
export function sagaFaults(service: Service): readonly string[] {
  const { saga: definition, uses } = service;
  if (definition === undefined) return [];
  const named = `saga "${definition.name}"`;
  const faults: string[] = [];
  if ((uses as Uses).store === undefined)
    faults.push(
      `The ${named}${at(definition.place)} has no store. Give it one: store: sqlite({ file }).`,
    );
  faults.push(...optionFaults(definition));
  const all = definition.steps.flatMap((step) =>
    step.transitions.map((transition) => ({ step, transition })),
  );
  for (const { step, transition } of all)
    faults.push(...transitionFaults(definition, step, transition));
  if (all.length > 0 && all.every(({ transition }) => transition.from !== undefined))
    faults.push(
      `Nothing starts the ${named}${at(definition.place)}. Bind what does: startedBy(contract, …).`,
    );
  faults.push(...ambiguities(definition), ...unreached(definition), ...unusedTimeouts(definition));
  return faults;
}

/** Throws WIRING_INVALID with all faults of a saga at once, as `connect` does. */
export function checkSaga(service: Service): void {
  const faults = sagaFaults(service);
  if (faults.length === 0) return;
  const list = faults.map((fault) => `  - ${fault}`).join("\n");
  throw new WaybillError("WIRING_INVALID", `The saga does not fit together:\n${list}`, {
    details: { faults },
  });
}

function optionFaults({
  name,
  state,
  phases,
  timeouts,
  rules: chosen,
  archiveMs,
  place,
}: SagaDefinition): string[] {
  const of = `of the saga "${name}"${at(place)}`;
  const faults: string[] = [];
  // JavaScript may give anything.
  const validate: unknown = (state as Partial<SagaDefinition["state"]> | undefined)?.["~standard"]
    ?.validate;
  if (typeof validate !== "function")
    faults.push(
      `The state ${of} is no Standard Schema; use zod, valibot, arktype or another one that is.`,
    );
  if (!Array.isArray(phases) || phases.length === 0)
    faults.push(`The phases ${of} are no list; write phases: ["open", "closed"].`);
  for (const [what, names] of [
    ["phase", phases],
    ["timeout", timeouts],
  ] as const) {
    for (const each of names) {
      const fault = serviceNameFault(each);
      if (fault !== undefined)
        faults.push(`The ${what} ${shown(each)} ${of} is not legal: ${fault}.`);
    }
    for (const [first] of doubles(names, String))
      faults.push(`The ${what} "${first}" ${of} is declared twice. Remove one.`);
  }
  for (const [refusal, rule] of Object.entries(chosen))
    if (!rules.includes(rule))
      faults.push(
        `The rule ${refusal} ${of} is ${shown(rule)}; give "retry", "deadLetter" or "ignore".`,
      );
  if (!Number.isSafeInteger(archiveMs) || archiveMs < archiveMsLeast || archiveMs > archiveMsMost)
    faults.push(
      `archiveMs ${of} is ${shown(archiveMs)}; give milliseconds, a whole number from ${archiveMsLeast} to ${archiveMsMost}.`,
    );
  return faults;
}

function transitionFaults(
  { phases, timeouts, name }: SagaDefinition,
  step: Step,
  { from, to, by, state, handler, place }: Transition,
): string[] {
  const where = `${bound(step, from === undefined)} of the saga "${name}"${at(place)}`;
  const faults: string[] = [];
  for (const [what, list] of [
    ["in", from],
    ["to", to],
  ] as const) {
    if (list === undefined && what === "in") continue;
    if (!Array.isArray(list) || list.length === 0) {
      faults.push(`${where} has no phases in \`${what}\`. Name at least one.`);
      continue;
    }
    for (const phase of list)
      if (!phases.includes(phase as string))
        faults.push(
          `${where} names the phase ${shown(phase)} in \`${what}\`, which the saga does not declare. Add it to its phases.`,
        );
  }
  if (step.timeout !== undefined && !timeouts.includes(step.timeout))
    faults.push(
      `${where} names a timeout that the saga does not declare. Add it: timeouts: ["${step.timeout}"].`,
    );
  if (step.timeout === undefined && typeof by !== "function")
    faults.push(
      `${where} has no \`by\`; write by: (value) => value.id, which gives the id of the saga.`,
    );
  if (from === undefined && typeof state !== "function")
    faults.push(
      `${where} has no \`state\`; write state: (value) => ({ … }), with which the saga starts.`,
    );
  if (typeof handler !== "function") faults.push(`${where} has no handler function.`);
  return faults;
}

/** More than one transition for a message in a phase. */
function ambiguities({ name, steps }: SagaDefinition): string[] {
  return steps.flatMap((step) => {
    const ways = step.transitions.flatMap((transition) =>
      (transition.from ?? [""]).map((phase) => ({ phase, transition })),
    );
    return doubles(ways, ({ phase }) => phase).map(([first, second]) => {
      const when = first.phase === "" ? "starts" : `moves on in the phase "${first.phase}"`;
      const [one, other] = [first.transition, second.transition];
      return `The saga "${name}" ${when} by ${bound(step, first.phase === "")} in two ways: one${at(one.place)}, one${at(other.place)}. Keep one; it may name several phases in \`to\`.`;
    });
  });
}

/** Phases to which nothing leads from a start. */
function unreached({ name, phases, steps, place }: SagaDefinition): string[] {
  const transitions = steps.flatMap((step) => step.transitions);
  const reached = new Set<string>();
  const next = transitions.flatMap(({ from, to }) => (from === undefined ? to : []));
  for (let phase = next.pop(); phase !== undefined; phase = next.pop()) {
    if (reached.has(phase)) continue;
    reached.add(phase);
    for (const { from, to } of transitions) if (from?.includes(phase) === true) next.push(...to);
  }
  return phases
    .filter((phase) => !reached.has(phase))
    .map(
      (phase) =>
        `No transition of the saga "${name}"${at(place)} leads to the phase "${phase}". Name it in the \`to\` of one that is reached, or remove it.`,
    );
}

function unusedTimeouts({ name, timeouts, steps, place }: SagaDefinition): string[] {
  return timeouts
    .filter((each) => steps.every(({ timeout }) => timeout !== each))
    .map(
      (each) =>
        `Nothing in the saga "${name}"${at(place)} handles its timeout "${each}". Bind it: onTimeout("${each}", …), or remove it.`,
    );
}

function bound({ trigger, timeout }: Step, isStart: boolean): string {
  if (timeout !== undefined) return `onTimeout("${timeout}")`;
  return `${isStart ? "startedBy" : "on"}() of ${described(trigger)}`;
}
