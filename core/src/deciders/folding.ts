import { WaybillError, messageOf } from "../errors.ts";
import type { EventRow, EventRows, Events, StreamKey } from "../ports/event-rows.ts";
import type { Logger } from "../ports/logger.ts";
import type { DeciderDefinition, EvolveContext } from "./definition.ts";
import { fingerprintOf, readEvent, readSnapshot, streamOf } from "./record.ts";

/** A stream as it stands. */
export interface StreamStanding {
  readonly key: string;
  /** 0 where nothing has happened. */
  readonly version: number;
  readonly state: unknown;
  /** The version of the snapshot from which it was folded; 0 where there was none. */
  readonly snapshotAt: number;
}

/** Rows read at a time. */
const pageMax = 500;
/** Events for one command above which the log is told. */
const manyEvents = 1_000;

interface LoadingOptions {
  readonly lock?: boolean;
  readonly logger?: Logger;
}

/** The state of a key: its snapshot, and what has happened since. Holds one page of events at a time. Errors: STATE_INVALID, STREAM_TOO_LONG. */
export async function loadStream(
  rows: EventRows | Events,
  { definition, key }: { readonly definition: DeciderDefinition; readonly key: string },
  { lock = false, logger }: LoadingOptions = {},
): Promise<StreamStanding> {
  const stream = streamOf(definition, key);
  const fingerprint = fingerprintOf(definition);
  const first = await rows.load(stream, { fingerprint, limit: pageMax, ...(lock && { lock }) });
  const { snapshot } = first;
  const kept = snapshot === undefined ? undefined : await readSnapshot(definition, snapshot);
  const isUsable = snapshot !== undefined && kept !== undefined;
  const fold = new StreamFold(definition, {
    key,
    version: isUsable ? snapshot.version : 0,
    state: isUsable ? kept.state : definition.initial(key),
    snapshotAt: isUsable ? snapshot.version : 0,
  });
  // One that cannot be read is as none.
  const page = snapshot === undefined || isUsable ? first.events : await next(rows, stream, fold);
  await foldAll(rows, stream, { fold, page });
  if (fold.count > manyEvents)
    logger?.warn(
      `${fold.count} events of "${key}" were read for one command of the decider "${definition.name}"; more than ${definition.eventsMax} are refused. ${advice(definition)}`,
      { key, version: fold.standing.version },
    );
  return fold.standing;
}

interface Folding {
  readonly fold: StreamFold;
  readonly page: readonly EventRow[];
}

async function foldAll(
  rows: EventRows | Events,
  stream: StreamKey,
  { fold, page: first }: Folding,
): Promise<void> {
  let page = first;
  for (;;) {
    for (const row of page) await fold.row(row);
    if (page.length < pageMax) return;
    page = await next(rows, stream, fold);
  }
}

function next(
  rows: EventRows | Events,
  stream: StreamKey,
  { standing }: StreamFold,
): readonly EventRow[] | Promise<readonly EventRow[]> {
  return rows.read(stream, { after: standing.version, limit: pageMax });
}

function advice({ snapshotEvery }: DeciderDefinition): string {
  return snapshotEvery === 0
    ? "Let it take snapshots: snapshotEvery."
    : "This is so once after its code has changed; if it comes again, take snapshots more often (snapshotEvery), or end such a stream and begin another.";
}

/** The state that follows from events, one after another. */
export class StreamFold {
  /** Events folded. */
  count = 0;
  #standing: StreamStanding;
  readonly #definition: DeciderDefinition;

  constructor(definition: DeciderDefinition, standing: StreamStanding) {
    this.#definition = definition;
    this.#standing = standing;
  }

  get standing(): StreamStanding {
    return this.#standing;
  }

  /** The next row of the stream. Errors: STATE_INVALID, STREAM_TOO_LONG. */
  async row(row: EventRow): Promise<void> {
    const { key, version } = this.#standing;
    const { name, initial, eventsMax } = this.#definition;
    this.count += 1;
    if (this.count > eventsMax)
      throw new WaybillError(
        "STREAM_TOO_LONG",
        `More than ${eventsMax} events of "${key}" would be read for one command of the decider "${name}". Raise its eventsMax to get past this once. ${advice(this.#definition)}`,
        { details: { key, version } },
      );
    if (row.type === "") {
      // What stood before is forgotten, and so is the state.
      this.#standing = { ...this.#standing, version: row.version, state: initial(key) };
      return;
    }
    if (row.version !== version + 1)
      throw new WaybillError(
        "STATE_INVALID",
        `Behind version ${version} of "${key}", decided by "${name}", stands ${row.version}: somebody has removed events. Bring them back from a backup.`,
        { retryable: true, details: { key, version: row.version } },
      );
    const payload = await readEvent(this.#definition, row);
    const { type, id, time } = row;
    this.event(type, payload, { key, version: row.version, id, time: new Date(time) });
  }

  /** One that has been read. Error: STATE_INVALID where `evolve` throws. */
  event(type: string, payload: unknown, context: EvolveContext): void {
    const { name, evolve } = this.#definition;
    let state: unknown;
    try {
      state = evolve[type]?.(this.#standing.state, payload, context);
      if (state === undefined) throw new TypeError("it answered no state");
      if (state instanceof Promise)
        throw new TypeError("it answered a promise; it must not wait for anything");
    } catch (cause) {
      throw new WaybillError(
        "STATE_INVALID",
        `\`evolve\` of "${type}" in the decider "${name}" failed at version ${context.version} of "${context.key}": ${messageOf(cause)}. It has to take every event that was ever appended.`,
        { cause, retryable: true, details: { key: context.key, version: context.version } },
      );
    }
    this.#standing = { ...this.#standing, version: context.version, state };
  }
}
