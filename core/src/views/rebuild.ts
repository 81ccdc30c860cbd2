import type { Query, Stream } from "@waybill/contracts";
import type { CallOptions } from "../context.ts";
import { WaybillError } from "../errors.ts";
import { Streams } from "../operating/streams.ts";
import { sleep } from "../ports/environment.ts";
import type { ViewStart } from "../ports/view-rows.ts";
import { type Runtime, runtimeOf } from "../runtime.ts";
import type { Speech } from "../speaking/speech.ts";
import { validated } from "../steps/validate.ts";
import { inputSchema } from "../wiring/route.ts";
import type { BackfillContext, ViewDefinition, ViewFill, ViewSource } from "./definition.ts";
import { Fold, rowKeyOf } from "./fold.ts";
import type { OpenView } from "./open-views.ts";

export interface RebuildOptions {
  /** How long it may take, in milliseconds, up to 7 days. Default one hour. */
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

export interface RebuildReport {
  /** The one that is read from now on. */
  readonly generation: number;
  /** Messages that the backfill gave. */
  readonly filled: number;
  /** Of those, how many were older than what had come meanwhile. */
  readonly stale: number;
}

export interface RebuildParts {
  readonly open: OpenView;
  readonly runtime: Runtime;
  readonly speech: Speech;
}

const deadlineMsDefault = 3_600_000;
const deadlineMsMost = 7 * 86_400_000;
/** Messages of a backfill in one transaction. */
const fillMax = 100;
/** Between two looks at how far a group has come. */
const lookMs = 20;
const lookMsMax = 500;

/** Builds the rows anew beside those that are read, and lets them take their place at once when they have caught up. */
export async function rebuild(
  { open, runtime, speech }: RebuildParts,
  { deadlineMs = deadlineMsDefault, signal }: RebuildOptions = {},
): Promise<RebuildReport> {
  const { definition } = open;
  if (!(deadlineMs >= 1 && deadlineMs <= deadlineMsMost))
    throw new WaybillError(
      "OPTION_INVALID",
      `deadlineMs of a rebuild is ${String(deadlineMs)}; give milliseconds from 1 to ${deadlineMsMost}.`,
    );
  checkSources(definition);
  signal?.throwIfAborted();
  const ending = new AbortController();
  const abort = (): void => ending.abort(signal?.reason);
  signal?.addEventListener("abort", abort, { once: true });
  const timer = runtime.environment.timers.set(
    () => ending.abort(late(definition, deadlineMs)),
    deadlineMs,
  );
  const release = runtime.vigil.hold();
  try {
    return await new Rebuild({ open, runtime, speech }, ending.signal).run();
  } finally {
    timer.cancel();
    release();
    signal?.removeEventListener("abort", abort);
    // The generator of a backfill that is still asking has nothing to ask for any more.
    ending.abort(ended);
  }
}

const ended = new WaybillError("CALL_CANCELLED", "The rebuild has ended.");

/** One stream that is read again, and where it ended when that began. */
interface Replay {
  readonly stream: Stream;
  readonly streams: Streams;
  readonly starts: readonly ViewStart[];
  readonly ends: ReadonlyMap<number, number>;
}

class Rebuild {
  readonly #parts: RebuildParts;
  readonly #signal: AbortSignal;
  #generation = 0;
  #filled = 0;
  #stale = 0;

  constructor(parts: RebuildParts, signal: AbortSignal) {
    this.#parts = parts;
    this.#signal = signal;
  }

  async run(): Promise<RebuildReport> {
    const { open, runtime } = this.#parts;
    const { views } = open.store;
    const { name } = open.definition;
    const replays = await Promise.all(replayed(open.definition).map((each) => this.#look(each)));
    const starts = replays.flatMap((each) => each.starts);
    this.#generation = await views.begin(name, starts, runtime.environment.clock.now());
    try {
      for (const { stream, streams } of replays) await streams.seek(stream, name, "start");
      await this.#fill();
      for (const replay of replays) await this.#caughtUp(replay);
      await this.#checkOwn(true);
      this.#signal.throwIfAborted();
      if (!(await views.finish(name, this.#generation))) throw takenOver(name);
    } catch (error) {
      // Where the store is gone it stays, as one that is being built; the next rebuild takes its place.
      await views.abandon(name, this.#generation).catch(() => undefined);
      throw error;
    }
    return { generation: this.#generation, filled: this.#filled, stale: this.#stale };
  }

  /** What stood on its way before the seek is not the beginning: of what was read already, something before it is. */
  async #look({ contract }: ViewSource): Promise<Replay> {
    const stream = contract as Stream;
    const { transport } = runtimeOf(this.#parts.runtime, stream);
    const streams = new Streams(transport);
    if (!transport.capabilities.seek)
      throw new WaybillError(
        "NOT_SUPPORTED",
        `The view "${this.#parts.open.definition.name}" cannot be rebuilt from the stream "${stream.name}": ${transport.name} cannot read it again. Give the view a backfill for it.`,
      );
    const groups = await streams.groups(stream);
    const own = groups.find(({ group }) => group === this.#parts.open.definition.name);
    const partitions = own?.partitions ?? [];
    return {
      stream,
      streams,
      starts: partitions
        .filter(({ committed, oldest }) => committed > oldest)
        .map(({ partition, committed }) => ({ source: stream.name, partition, offset: committed })),
      ends: new Map(partitions.map(({ partition, end }) => [partition, end])),
    };
  }

  async #fill(): Promise<void> {
    const { backfill } = this.#parts.open.definition;
    if (backfill === undefined) return;
    let batch: ViewFill[] = [];
    for await (const fill of untilAborted(backfill.run(this.#context()), this.#signal)) {
      batch.push(fill);
      if (batch.length < fillMax) continue;
      await this.#save(batch);
      batch = [];
    }
    await this.#save(batch);
  }

  async #save(batch: readonly ViewFill[]): Promise<void> {
    const { store, definition } = this.#parts.open;
    await this.#checkOwn(false);
    const now = this.#parts.runtime.environment.clock.now();
    const checked: { source: ViewSource; value: unknown }[] = [];
    for (const fill of batch) checked.push(await this.#checked(fill));
    const stale = await store.transaction(async ({ views }) => {
      let count = 0;
      for (const { source, value } of checked) {
        const binding = { definition, source };
        const key = rowKeyOf(binding, value);
        const place = { view: definition.name, key, generation: this.#generation };
        const fold = new Fold(binding, { key, row: await views.load(place), header: undefined });
        if ((await fold.run(value)) === "stale") count += 1;
        const after = await fold.end(now);
        if (after !== undefined) await views.save(place, after);
      }
      return count;
    });
    this.#filled += batch.length;
    this.#stale += stale;
  }

  async #checked({ contract, value }: ViewFill): Promise<{ source: ViewSource; value: unknown }> {
    const { name, backfill, sources } = this.#parts.open.definition;
    const source = sources.find((each) => each.contract === contract);
    if (source === undefined || backfill?.contracts.includes(contract) !== true)
      throw new WaybillError(
        "CONTRACT_NOT_DECLARED",
        `The backfill of the view "${name}" gives messages of "${String((contract as ViewSource["contract"] | undefined)?.name)}", which it does not name. Add it: backfill([...], …).`,
      );
    const naming = { contract: contract.name, what: "from a backfill" };
    return { source, value: await validated(inputSchema(contract), value, naming) };
  }

  /** Waits until the group has come to where the stream ended when this began: what came later both generations have. */
  async #caughtUp({ stream, streams, ends }: Replay): Promise<void> {
    const { environment } = this.#parts.runtime;
    for (let pauseMs = lookMs; ; pauseMs = Math.min(pauseMs * 2, lookMsMax)) {
      const groups = await streams.groups(stream);
      const own = groups.find(({ group }) => group === this.#parts.open.definition.name);
      const isThere = (own?.partitions ?? []).every(
        ({ partition, committed }) => committed >= (ends.get(partition) ?? 0),
      );
      if (isThere) return;
      await this.#checkOwn(false);
      await sleep(environment.timers, pauseMs, this.#signal);
    }
  }

  /** Somebody else may have begun another one; and what was never read again must not be missing in silence. */
  async #checkOwn(isEnd: boolean): Promise<void> {
    const { name } = this.#parts.open.definition;
    const building = (await this.#parts.open.store.views.state(name))?.building;
    if (building?.generation !== this.#generation) throw takenOver(name);
    if (!isEnd || building.closed === 0) return;
    throw new WaybillError(
      "STATE_INVALID",
      `The view "${name}" was not rebuilt: in ${building.closed} partitions nothing of what it had read before came again, because it was removed by retention meanwhile or is all among the dead letters. Rebuild it again.`,
      { retryable: true },
    );
  }

  #context(): BackfillContext<any> {
    const { open, runtime, speech } = this.#parts;
    const service = open.definition.name;
    const signal = this.#signal;
    const ask = (query: Query, input: unknown, options: CallOptions = {}): Promise<any> =>
      speech.ask(query, input, { service, parent: undefined, options, signal });
    return {
      ask: ask as BackfillContext<any>["ask"],
      signal,
      logger: runtime.logger,
      now: () => new Date(runtime.environment.clock.now()),
    };
  }
}

/** Ends with the signal's reason also where the items wait for something that never comes. */
async function* untilAborted<Item>(
  items: AsyncIterable<Item>,
  signal: AbortSignal,
): AsyncIterable<Item> {
  const aborted = Promise.withResolvers<never>();
  aborted.promise.catch(() => undefined);
  const abort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  const iterator = items[Symbol.asyncIterator]();
  try {
    for (;;) {
      signal.throwIfAborted();
      const next = await Promise.race([iterator.next(), aborted.promise]);
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener("abort", abort);
    // Not awaited: it may stand where it never goes on.
    iterator.return?.().catch(() => undefined);
  }
}

/** Streams that are read again. One that the backfill gives is not. */
function replayed({ sources, backfill }: ViewDefinition): readonly ViewSource[] {
  return sources.filter(
    ({ contract }) => contract.kind === "stream" && backfill?.contracts.includes(contract) !== true,
  );
}

/** Throws NOT_SUPPORTED for events whose past nobody gives: what they brought would be gone. */
function checkSources({ name, sources, backfill }: ViewDefinition): void {
  const filled = sources.filter(({ contract }) => backfill?.contracts.includes(contract) === true);
  const sequences = new Set(filled.map(({ sequence }) => sequence));
  const missing = sources.filter(
    ({ contract, sequence }) => contract.kind === "event" && !sequences.has(sequence),
  );
  if (missing.length === 0) return;
  const list = missing.map(({ contract }) => `"${contract.name}"`).join(", ");
  throw new WaybillError(
    "NOT_SUPPORTED",
    `The view "${name}" cannot be rebuilt: nobody gives again what ${list} brought. Ask its owner: backfill([...], async function* ({ ask }) { … }).`,
  );
}

function takenOver(name: string): WaybillError {
  return new WaybillError(
    "LOCK_LOST",
    `Another rebuild of the view "${name}" has begun meanwhile, and this one ends. Wait for that one.`,
  );
}

function late({ name }: ViewDefinition, deadlineMs: number): WaybillError {
  return new WaybillError(
    "DEADLINE_EXCEEDED",
    `The view "${name}" was not rebuilt within ${deadlineMs} ms; what is read is as it was. Raise deadlineMs, or see what holds up its sources: bus.views().`,
    { retryable: true },
  );
}
