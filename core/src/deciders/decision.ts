import type { Command } from "@waybill/contracts";
import { WaybillError } from "../errors.ts";
import type { EventRow } from "../ports/event-rows.ts";
import type { DeciderDefinition, Happened, Rejection } from "./definition.ts";
import { StreamFold, type StreamStanding } from "./folding.ts";
import { checkKey, writeEvent } from "./record.ts";

/** Most events of one command. */
const happenedMax = 1_000;

/** The stream that a command is for. Error: MESSAGE_INVALID. */
export function keyOfCommand(
  { name, key }: DeciderDefinition,
  command: Command,
  input: unknown,
): string {
  return checkKey(name, (key ?? command.key)?.(input));
}

/** What a decision needs of the context of its command. */
export interface DecisionContext {
  readonly header: { readonly id: string };
  readonly now: () => Date;
}

/** An event with everything that is stored of it. */
export interface Occurrence {
  readonly happened: Happened;
  /** As it is read back. */
  readonly payload: unknown;
  readonly row: EventRow;
}

interface DecisionParts {
  readonly definition: DeciderDefinition;
  readonly command: Command;
  readonly standing: StreamStanding;
}

/** One command's effect on its stream: from a state to events, and nothing else. Whoever has it appends them. */
export class Decision {
  readonly #parts: DecisionParts;
  #answer: readonly Happened[] | Rejection | undefined;

  constructor(parts: DecisionParts) {
    this.#parts = parts;
  }

  /** Undefined where it is obeyed. */
  get rejection(): Rejection | undefined {
    const answer = this.#answer;
    return answer !== undefined && isRejection(answer) ? answer : undefined;
  }

  /** Runs `decide`. Errors: what it throws, and a TypeError when it answers something else than events of the decider. */
  run(input: unknown, { header, now }: DecisionContext): void {
    const { definition, command, standing } = this.#parts;
    const { key, version, state } = standing;
    const context = { key, version, now: now(), commandId: header.id };
    // What it would change here would stand in the next snapshot, and in no event.
    freeze(state);
    const answer: unknown = definition.decide[command.name]?.(input, state, context);
    if (isRejection(answer)) {
      this.#answer = answer;
      return;
    }
    const all: readonly unknown[] = Array.isArray(answer) ? answer : [answer];
    for (const each of all)
      if (!definition.events.includes(Object(each).event as Happened["event"]))
        throw new TypeError(
          `\`decide\` of "${command.name}" in the decider "${definition.name}" answered ${each instanceof Promise ? "a promise" : "something"} that is none of its events. Answer happened(Event, payload), a list of those, or reject("why").`,
        );
    if (all.length > happenedMax)
      throw new WaybillError(
        "BODY_TOO_LARGE",
        `"${command.name}" made ${all.length} events happen; one command may make ${happenedMax}.`,
      );
    this.#answer = all as readonly Happened[];
  }

  /**
   * What is to be appended, and how the stream stands behind it: every event has been read back and taken by `evolve` before, so that nothing is
   * appended that no later command could read. Errors: MESSAGE_INVALID, BODY_TOO_LARGE, STATE_INVALID.
   */
  async end(making: {
    readonly now: number;
    readonly id: () => string;
    readonly metadata: string;
  }): Promise<{ readonly occurrences: readonly Occurrence[]; readonly standing: StreamStanding }> {
    const { definition, standing } = this.#parts;
    const answer = this.#answer;
    if (answer === undefined || isRejection(answer)) return { occurrences: [], standing };
    const { name: decider } = definition;
    const { key } = standing;
    const fold = new StreamFold(definition, standing);
    const time = Math.floor(making.now);
    const occurrences: Occurrence[] = [];
    for (const happened of answer) {
      const { event } = happened;
      const version = fold.standing.version + 1;
      const id = making.id();
      const { body, payload } = await writeEvent(event, happened.payload);
      fold.event(event.name, payload, { key, version, id, time: new Date(time) });
      const { name: type, version: contractVersion } = event;
      const { metadata } = making;
      const row = { decider, key, version, id, type, contractVersion, time, body, metadata };
      occurrences.push({ happened, payload, row });
    }
    return { occurrences, standing: fold.standing };
  }
}

function isRejection(answer: unknown): answer is Rejection {
  return typeof Object(answer).rejected === "string";
}

function freeze(value: unknown): void {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const part of Object.values(value)) freeze(part);
}

/** For the reader of its dead letter, or for who asked. */
export function rejectionError(
  { name }: DeciderDefinition,
  { rejected, details }: Rejection,
  { type, key }: { readonly type: string; readonly key: string },
): WaybillError {
  return new WaybillError(
    "COMMAND_REJECTED",
    `"${type}" for "${key}" was rejected by the decider "${name}": ${rejected}`,
    { details: { decider: name, key, ...details } },
  );
}
