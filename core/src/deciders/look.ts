import type { Command, Event } from "@waybill/contracts";
import { WaybillError } from "../errors.ts";
import { type Environment, sleep } from "../ports/environment.ts";
import type { Logger } from "../ports/logger.ts";
import type { Outgoing } from "../ports/transport.ts";
import { RaceLost } from "../sagas/refusal.ts";
import type { RecordedHeader } from "../speaking/recorded.ts";
import { validated } from "../steps/validate.ts";
import type { OpenStore } from "../stores/stores.ts";
import { Decision, keyOfCommand, rejectionError } from "./decision.ts";
import type { DeciderDefinition } from "./definition.ts";
import { type StreamStanding, loadStream } from "./folding.ts";
import { type RecordedEvent, checkKey, recordedOf, streamOf } from "./record.ts";
import { record, streamRace } from "./recording.ts";

/** How a key stands. */
export interface DecidedState<State = unknown> {
  readonly key: string;
  /** Of the last event; 0 where nothing has happened. */
  readonly version: number;
  readonly state: State;
}

/** What a command did that was decided at once. */
export interface DecidedNow<State = unknown, E extends Event = Event> extends DecidedState<State> {
  /** What happened, in order; none where the command changed nothing. */
  readonly events: readonly RecordedEvent<E>[];
}

export interface DecideOptions {
  /** The version on which the caller's wish stands: where the stream has another one, VERSION_CONFLICT and nothing happens. */
  readonly expectedVersion?: number;
}

export interface HistoryQuery {
  /** The first version, from 1. Default 1. */
  readonly fromVersion?: number;
  /** Most events, 1 to 1,000. Default 100. */
  readonly limit?: number;
}

export interface EventReplayOptions {
  /** Only what stands behind this position: that of the last event that was taken. */
  readonly after?: string;
  /** How long it waits for transactions that were open before and may yet write, in milliseconds; then STORAGE_BUSY. Default 60,000. */
  readonly waitMsMax?: number;
  readonly signal?: AbortSignal;
}

/** An event with its place among all of its decider. */
export interface ReplayedEvent<E extends Event = Event> {
  readonly event: RecordedEvent<E>;
  /** Opaque text. What was appended later stands behind it, in this store. */
  readonly position: string;
}

const limitMost = 1_000;
const pageMax = 500;
const replayWaitMsDefault = 60_000;
const replayPauseMs = 50;
/** As for messages: who runs with the stream to itself loses no more. */
const runsMax = 10;
const turnMsMax = 10_000;

export interface LookParts {
  readonly definition: DeciderDefinition;
  readonly open: OpenStore;
  readonly environment: Environment;
  readonly logger: Logger;
  readonly prepare: (
    event: Event,
    payload: unknown,
    recorded: RecordedHeader & { readonly id: string },
  ) => Outgoing | Promise<Outgoing>;
}

/** The streams of one decider: how they stand, and what has happened. */
export class DeciderLook<State = unknown, C extends Command = Command, E extends Event = Event> {
  readonly #parts: LookParts;

  constructor(parts: LookParts) {
    this.#parts = parts;
  }

  /** The present state of a key; `initial` where nothing has happened. Errors: STATE_INVALID, STREAM_TOO_LONG, MESSAGE_INVALID for what is no key. */
  async load(key: string): Promise<DecidedState<State>> {
    const { definition, open } = this.#parts;
    const asked = { definition, key: checkKey(definition.name, key) };
    return decidedOf(await loadStream(open.store.events, asked));
  }

  /** What has happened to a key, in order, in the present version of its contracts. Errors: STATE_INVALID, OPTION_INVALID, MESSAGE_INVALID. */
  async history(key: string, query: HistoryQuery = {}): Promise<readonly RecordedEvent<E>[]> {
    const { fromVersion = 1, limit = 100 } = query;
    checkWhole("fromVersion", fromVersion, [1, Number.MAX_SAFE_INTEGER]);
    checkWhole("limit", limit, [1, limitMost]);
    const { definition, open } = this.#parts;
    const stream = streamOf(definition, checkKey(definition.name, key));
    const rows = await open.store.events.read(stream, { after: fromVersion - 1, limit });
    const list: RecordedEvent[] = [];
    for (const row of rows) if (row.type !== "") list.push(await recordedOf(definition, row));
    return list as unknown as RecordedEvent<E>[];
  }

  /**
   * Everything that was committed when it began, of all keys: those of one key in their order, and none that stands before one that was given
   * comes later, so that `after` resumes without a hole. Holds one page in memory. What is appended meanwhile comes over the bus. Errors: STATE_INVALID,
   * STORAGE_BUSY, OPTION_INVALID.
   */
  async *replay(
    options: EventReplayOptions = {},
  ): AsyncGenerator<ReplayedEvent<E>, void, undefined> {
    const { definition, open, environment } = this.#parts;
    const { waitMsMax = replayWaitMsDefault, signal } = options;
    let { after } = options;
    let until: string | undefined;
    let waitedFrom: number | undefined;
    for (;;) {
      signal?.throwIfAborted();
      const page = await open.store.events.replay({
        decider: definition.name,
        limit: pageMax,
        ...(after !== undefined && { after }),
        ...(until !== undefined && { until }),
      });
      ({ until } = page);
      for (const row of page.rows) {
        const { position } = row;
        after = position;
        if (row.type === "") continue;
        yield { event: (await recordedOf(definition, row)) as RecordedEvent<E>, position };
      }
      if (page.isComplete) return;
      if (page.rows.length > 0) {
        waitedFrom = undefined;
        continue;
      }
      const now = environment.clock.monotonic();
      waitedFrom ??= now;
      if (now - waitedFrom >= waitMsMax) throw unsettled(open.store.name, waitMsMax);
      await sleep(environment.timers, replayPauseMs, signal);
    }
  }

  /**
   * Decides a command at once, without sending it: for who wants to know how it was decided, such as an HTTP route. Its events are published as
   * ever. A repeated call decides again: where that matters, give `expectedVersion`, or send the command. Errors: COMMAND_REJECTED, VERSION_CONFLICT,
   * MESSAGE_INVALID, and those of `bus.transaction`.
   */
  async decide<One extends C>(
    command: One,
    input: One extends Command<string, infer Input> ? Input : never,
    { expectedVersion }: DecideOptions = {},
  ): Promise<DecidedNow<State, E>> {
    const { definition } = this.#parts;
    if (!definition.commands.includes(command))
      throw new WaybillError(
        "CONTRACT_NOT_DECLARED",
        `The decider "${definition.name}" does not decide "${command.name}". Add it to its commands.`,
      );
    if (expectedVersion !== undefined)
      checkWhole("expectedVersion", expectedVersion, [0, Number.MAX_SAFE_INTEGER]);
    const naming = { contract: command.name, what: "to be decided" };
    const value = await validated(command.input, input, naming);
    const asked = { command, value, expectedVersion };
    return (await this.#again((lock) => this.#decideOnce(asked, lock))) as DecidedNow<State, E>;
  }

  /**
   * Removes everything that has happened to a key, for good, and its snapshot. Its state is `initial` again, and its versions go on from where they
   * were. What was published is with its subscribers: tell them by an event before. Answers the version up to which it is forgotten; 0 where nothing
   * had happened. Errors: MESSAGE_INVALID, and those of `bus.transaction`.
   */
  async forget(key: string): Promise<number> {
    const { definition, environment, open } = this.#parts;
    const stream = streamOf(definition, checkKey(definition.name, key));
    return this.#again((lock) =>
      open.store.transaction(
        async ({ events }) => {
          const version = await events.last(stream, { lock });
          if (version === 0) return 0;
          const time = Math.floor(environment.clock.now());
          const mark = { type: "", contractVersion: 0, time, body: "null", metadata: "{}" };
          const row = { ...stream, ...mark, version: version + 1, id: environment.id() };
          // Whoever decides at this moment finds it in its way, and decides again on nothing.
          if (!(await events.append([row]))) throw streamRace(definition.name, key);
          await events.forget(stream, row.version);
          return version;
        },
        { waitMsMax: turnMsMax },
      ),
    );
  }

  /** Runs it again where somebody else was first, then with the stream to itself. */
  async #again<Result>(run: (lock: boolean) => Promise<Result>): Promise<Result> {
    for (let runs = 1; ; runs++) {
      try {
        return await run(runs > 1);
      } catch (error) {
        if (error instanceof WaybillError && error.code === "COMMIT_UNKNOWN")
          this.#parts.open.relay.doubt();
        if (!(error instanceof RaceLost) || runs === runsMax) throw error;
      }
    }
  }

  #decideOnce({ command, value, expectedVersion }: Asked, lock: boolean): Promise<DecidedNow> {
    const { definition, open, environment, logger, prepare } = this.#parts;
    const key = keyOfCommand(definition, command, value);
    return open.store.transaction(
      async (transaction) => {
        const { events: rows } = transaction;
        const standing = await loadStream(rows, { definition, key }, { lock, logger });
        if (expectedVersion !== undefined && standing.version !== expectedVersion)
          throw unexpected(definition.name, { key, version: standing.version, expectedVersion });
        const decision = new Decision({ definition, command, standing });
        const now = (): Date => new Date(environment.clock.now());
        decision.run(value, { header: { id: environment.id() }, now });
        const { rejection } = decision;
        if (rejection !== undefined)
          throw rejectionError(definition, rejection, { type: command.name, key });
        const recording = { definition, rows, environment, logger, command: undefined, prepare };
        const recorded = await record(decision, standing, recording);
        if (recorded.outgoing.length > 0)
          await transaction.append(recorded.outgoing, recorded.stream);
        const list: RecordedEvent[] = [];
        for (const { row } of recorded.occurrences) list.push(await recordedOf(definition, row));
        return { ...decidedOf<unknown>(recorded.standing), events: list };
      },
      { waitMsMax: turnMsMax },
    );
  }
}

interface Asked {
  readonly command: Command;
  readonly value: unknown;
  readonly expectedVersion: number | undefined;
}

function decidedOf<State>({ key, version, state }: StreamStanding): DecidedState<State> {
  return { key, version, state: state as State };
}

function unexpected(
  name: string,
  details: { readonly key: string; readonly version: number; readonly expectedVersion: number },
): WaybillError {
  const { key, version, expectedVersion } = details;
  return new WaybillError(
    "VERSION_CONFLICT",
    `"${key}" of the decider "${name}" has version ${version}, and ${expectedVersion} was expected: something has happened meanwhile. Load it, and decide whether the wish still stands.`,
    { details },
  );
}

function unsettled(store: string, waitMsMax: number): WaybillError {
  return new WaybillError(
    "STORAGE_BUSY",
    `A transaction in ${store} that began before the replay was still open after ${waitMsMax} ms; what it may write stands before what is yet to be read. Find it (select * from pg_stat_activity where backend_xid is not null), or go on later from the last position.`,
    { retryable: true },
  );
}

function checkWhole(name: string, value: number, [least, most]: readonly [number, number]): void {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  throw new WaybillError(
    "OPTION_INVALID",
    `${name} is ${String(value)}; give a whole number from ${least} to ${most}.`,
  );
}
