import type { Command } from "@waybill/contracts";
import { WaybillError } from "../errors.ts";
import type { SagaRow } from "../ports/saga-rows.ts";
import type { SagaMoment } from "./context.ts";
import {
  type SagaBinding,
  type SagaDefinition,
  type SagaRefusal,
  type Step,
  type Timeout,
  type Transition,
  isFinal,
  takesTimeout,
} from "./definition.ts";
import { type SagaBody, type Undo, checkId, plain, readSaga, writeSaga } from "./record.ts";
import { Said } from "../speaking/said.ts";
import { validated } from "../steps/validate.ts";
import { type Acting, TurnContext, type TurnSpeech } from "./turn-context.ts";

/** The saga that a message is for. Error: MESSAGE_INVALID. */
export function sagaIdOf({ definition, trigger }: SagaBinding, value: unknown): string {
  if (trigger === definition.alarm) return checkId(definition.name, (value as Timeout).id);
  const ids = new Set(stepOf(definition, trigger)?.transitions.map(({ by }) => by?.(value)));
  const [id] = ids;
  if (ids.size === 1) return checkId(definition.name, id);
  throw new WaybillError(
    "MESSAGE_INVALID",
    `The transitions of "${trigger.name}" in the saga "${definition.name}" give this message ${ids.size} ids. Let each \`by\` give the same.`,
  );
}

/**
 * What a message may do to its saga, as it is stored; undefined where there is none. "ended" is a timeout that was cancelled, renewed, or whose
 * saga has gone on. Decides from values alone. Error: STATE_INVALID.
 */
export async function takeTurn(
  { definition, trigger }: SagaBinding,
  row: SagaRow | undefined,
  { id, value }: { readonly id: string; readonly value: unknown },
): Promise<SagaTurn | SagaRefusal | "ended"> {
  if (trigger === definition.alarm) return takeTimeout(definition, row, value as Timeout);
  const step = stepOf(definition, trigger);
  if (row === undefined) {
    const transition = step?.transitions.find(({ from }) => from === undefined);
    if (transition === undefined) return "unknown";
    const body = { state: transition.state?.(value), undo: [], timeouts: {} };
    return new SagaTurn({ definition, transition, id, row, body });
  }
  if (row.finishedAt !== undefined) return "late";
  const body = await readSaga(definition, row);
  const transition = leaving(step, row.phase);
  if (transition === undefined) return "unexpected";
  return new SagaTurn({ definition, transition, id, row, body });
}

async function takeTimeout(
  definition: SagaDefinition,
  row: SagaRow | undefined,
  { id, name, token }: Timeout,
): Promise<SagaTurn | SagaRefusal | "ended"> {
  if (row === undefined || row.finishedAt !== undefined) return "ended";
  const body = await readSaga(definition, row);
  if (body.timeouts[name] !== token) return "ended";
  const step = definition.steps.find(({ timeout }) => timeout === name);
  const transition = leaving(step, row.phase);
  // A process that runs another version of the saga has set it.
  if (transition === undefined) return "unexpected";
  const { [name]: _ended, ...timeouts } = body.timeouts;
  return new SagaTurn({ definition, transition, id, row, body: { ...body, timeouts } });
}

function stepOf({ steps }: SagaDefinition, trigger: SagaBinding["trigger"]): Step | undefined {
  return steps.find((step) => step.trigger === trigger && step.timeout === undefined);
}

function leaving(step: Step | undefined, phase: string): Transition | undefined {
  return step?.transitions.find(({ from }) => from?.includes(phase) === true);
}

interface TurnParts {
  readonly definition: SagaDefinition;
  readonly transition: Transition;
  readonly id: string;
  readonly row: SagaRow | undefined;
  readonly body: SagaBody;
}

/** One message's effect on its saga: from a row to the next, and nothing else. Whoever has it stores the row. */
export class SagaTurn implements Acting {
  state: unknown;
  readonly id: string;
  readonly from: string | undefined;
  readonly #parts: TurnParts;
  #undo: readonly Undo[];
  #timeouts: Readonly<Record<string, string>>;
  readonly #set = new Set<string>();
  #setCount = 0;
  readonly #pending: Said<void>[] = [];
  #to: string | undefined;

  constructor(parts: TurnParts) {
    this.#parts = parts;
    this.id = parts.id;
    this.from = parts.row?.phase;
    this.state = parts.body.state;
    this.#undo = parts.body.undo;
    this.#timeouts = parts.body.timeouts;
  }

  /** Runs the transition's handler. Errors: what it throws, and a TypeError when it answers a phase that is not in its `to`. */
  async run(value: unknown, speech: TurnSpeech): Promise<void> {
    const { transition, definition } = this.#parts;
    const context = new TurnContext(this, speech);
    const isTimeout = transition.by === undefined;
    const handler = transition.handler as (...given: unknown[]) => string | Promise<string>;
    const to = await (isTimeout ? handler(context) : handler(value, context));
    for (const said of this.#pending) await said.ended();
    if (!transition.to.includes(to))
      throw new TypeError(
        `A transition of the saga "${definition.name}" answered the phase ${JSON.stringify(to)}, and its \`to\` names ${transition.to.map((phase) => `"${phase}"`).join(", ")}.`,
      );
    this.#to = to;
  }

  /** The row that takes the place of the one it began with. Errors: MESSAGE_INVALID, BODY_TOO_LARGE, OPTION_INVALID. */
  async end(now: number): Promise<SagaRow> {
    const { definition, row, id } = this.#parts;
    const phase = this.#to;
    if (phase === undefined)
      throw new TypeError(`The saga "${definition.name}" was not run to its end.`);
    const isFinished = isFinal(definition, phase);
    // What is over needs to take nothing back any more, and waits for nothing.
    const undo = isFinished ? [] : this.#undo;
    const timeouts = isFinished ? {} : this.#timeoutsIn(phase);
    return {
      saga: definition.name,
      id,
      version: (row?.version ?? 0) + 1,
      phase,
      body: await writeSaga(definition, id, { state: this.state, undo, timeouts }),
      startedAt: row?.startedAt ?? now,
      changedAt: now,
      finishedAt: isFinished ? now : undefined,
      forgetAt: isFinished ? now + definition.archiveMs : undefined,
    };
  }

  watch(work: Promise<void>): Promise<void> {
    const said = Said.of(work);
    this.#pending.push(said);
    return said;
  }

  async undo(command: Command, input: unknown): Promise<void> {
    const { definition } = this.#parts;
    if (!definition.sends.includes(command))
      throw new WaybillError(
        "CONTRACT_NOT_DECLARED",
        `The saga "${definition.name}" does not declare the command "${command.name}". Add it: saga("${definition.name}", { sends: [...] }).`,
      );
    const noted = { command: command.name, input: plain(input, `The input of "${command.name}"`) };
    this.#undo = [...this.#undo, noted];
    await validated(command.input, noted.input, { contract: command.name, what: "to be undone" });
  }

  async compensate({ send }: Pick<TurnSpeech, "send">): Promise<void> {
    const { definition } = this.#parts;
    const all = this.#undo.toReversed();
    this.#undo = [];
    for (const { command: name, input } of all) {
      const command = definition.sends.find((each) => each.name === name);
      if (command === undefined)
        throw new WaybillError(
          "CONTRACT_NOT_DECLARED",
          `The saga "${definition.name}" with the id "${this.id}" is to undo something by "${name}", which it does not declare any more. Add it to its sends until no saga needs it.`,
        );
      await send(command, input);
    }
  }

  async timeout(
    { send, now }: Pick<TurnSpeech, "send" | "now">,
    { name, when }: { readonly name: string; readonly when: SagaMoment },
  ): Promise<void> {
    const { definition, row } = this.#parts;
    if (!definition.timeouts.includes(name))
      throw new WaybillError(
        "OPTION_INVALID",
        `The saga "${definition.name}" has no timeout "${name}". Add it: saga("${definition.name}", { timeouts: [...] }).`,
      );
    this.#setCount += 1;
    // No other save of this saga has the version; the time tells it from an earlier saga of the id.
    const token = `${(row?.version ?? 0) + 1}.${this.#setCount}.${now().getTime()}`;
    this.#timeouts = { ...this.#timeouts, [name]: token };
    this.#set.add(name);
    const moment = "at" in when ? { at: when.at } : { delayMs: when.afterMs };
    await send(definition.alarm, { id: this.id, name, token }, moment);
  }

  cancelTimeout(name: string): void {
    const { [name]: _cancelled, ...others } = this.#timeouts;
    this.#timeouts = others;
    this.#set.delete(name);
  }

  /** Those that still mean something. One that was just set for nothing is a mistake. */
  #timeoutsIn(phase: string): Readonly<Record<string, string>> {
    const { definition } = this.#parts;
    const entries = Object.entries(this.#timeouts).filter(([name]) => {
      if (takesTimeout(definition, name, phase)) return true;
      if (!this.#set.has(name)) return false;
      throw new WaybillError(
        "OPTION_INVALID",
        `The saga "${definition.name}" set the timeout "${name}" and came to the phase "${phase}", which does not handle it. Add the phase to onTimeout("${name}", { in: [...] }), or set it later.`,
      );
    });
    return Object.fromEntries(entries);
  }
}
