import { type Ending, Entry, type Slot } from "./entry.ts";
import { WaybillError, messageOf, stackOf } from "./errors.ts";
import type { Delivery, Receiver, Source } from "./ports/transport.ts";
import { addressOf } from "./ports/transport.ts";
import type { Runtime } from "./runtime.ts";
import { isThenable } from "./thenable.ts";
import { within } from "./within.ts";

export interface ListenerOptions {
  readonly source: Source;
  readonly concurrency: number;
  readonly prefetch: number;
  readonly lockMs: number;
  readonly start?: "earliest" | "latest";
  /** Most sessions at a time, where the source has them. */
  readonly sessions?: number;
  /** Entries of one lane run one after another; undefined for no lane. */
  readonly lane?: (delivery: Delivery) => string | undefined;
  /** Settles the entry, or answers `retry`: after which time to run it again without letting its lane go on. */
  readonly run: (entry: Entry) => Ending | PromiseLike<Ending>;
  /** Where entries are gathered before they run. */
  readonly gathering?: Gathering;
  /** Told how many entries went back unhandled at shutdown. */
  readonly released?: (entry: Entry) => void;
}

/** Runs entries many at a time and keeps their order itself. It is given those whose lock is lost, too. */
export interface Gathering {
  /** Messages in handlers. */
  readonly inFlight: number;
  /** Intake has ended: what is gathered runs at once where a handler is free; the rest ends as `back`. */
  close(): void;
}

const prefetchBytes = 16 * 1024 * 1024;

/**
 * Reads one source: bounded ahead by prefetch, bounded at work by concurrency, in order where lanes ask for it. A handler's place is free
 * when it returns; how many may wait for their settlement to be stored is bounded by prefetch.
 */
export class Listener implements Slot {
  readonly address: string;
  readonly #options: ListenerOptions;
  readonly #runtime: Runtime;
  #receiver: Receiver | undefined;
  #waiting: Entry[] = [];
  #next = 0;
  readonly #lanes = new Map<string, Entry[]>();
  readonly #resting = new Map<Entry, { cancel(): void }>();
  /** Begun and not yet settled. */
  readonly #running = new Set<Entry>();
  /** Handlers of them that have not returned. */
  #handlers = 0;
  #pumping = false;
  #stopping = false;
  #drained: (() => void) | undefined;

  constructor(options: ListenerOptions, runtime: Runtime) {
    this.address = addressOf(options.source);
    this.#options = options;
    this.#runtime = runtime;
  }

  get inFlight(): number {
    return this.#options.gathering?.inFlight ?? this.#running.size;
  }

  start(): void {
    const { source, prefetch, lockMs, start, sessions } = this.#options;
    this.#receiver = this.#runtime.transport.receive(
      source,
      {
        prefetch,
        prefetchBytes,
        lockMs,
        ...(start !== undefined && { start }),
        ...(sessions !== undefined && { sessions }),
      },
      {
        deliver: (batch) => this.#take(batch),
        fault: (error) =>
          this.#runtime.logger.error(
            `Receiving from ${this.address} is disturbed: ${error.message}`,
            { code: error.code },
          ),
      },
    );
  }

  pause(): void {
    this.#receiver?.pause();
  }

  resume(): void {
    this.#receiver?.resume();
  }

  /**
   * Ends intake, gives back what has not begun, waits for what has. Resolves with how many handlers were still
   * running at the deadline; their signals are aborted then.
   */
  async stop(deadlineMs: number): Promise<number> {
    const { environment } = this.#runtime;
    const until = environment.clock.monotonic() + deadlineMs;
    this.#stopping = true;
    this.#options.gathering?.close();
    await within(environment, this.#endIntake(), deadlineMs);
    if (this.#running.size > 0) {
      const drained = new Promise<void>((resolve) => (this.#drained = resolve));
      await within(environment, drained, until - environment.clock.monotonic());
    }
    const left = this.#running.size;
    for (const entry of this.#running) {
      entry.abort(new WaybillError("CLOSED", "The bus is closing and its deadline has passed."));
    }
    return left;
  }

  async #endIntake(): Promise<void> {
    try {
      await this.#receiver?.stop();
    } catch (error) {
      this.#runtime.logger.error(
        `Receiving from ${this.address} could not be stopped: ${messageOf(error)}`,
      );
    }
    await Promise.all(this.#takeIdle().map((entry) => this.#release(entry)));
  }

  #take(batch: readonly Delivery[]): void {
    for (const delivery of batch) {
      const { session } = delivery;
      const lane = session === undefined ? this.#options.lane?.(delivery) : `key ${session.id}`;
      const entry = new Entry(delivery, lane);
      if (this.#stopping) void this.#release(entry);
      else if (this.#joinLane(entry)) this.#waiting.push(entry);
    }
    this.#pump();
  }

  /** Whether the entry may run: it is the head of its lane, has none, or its lane is kept elsewhere. */
  #joinLane(entry: Entry): boolean {
    if (entry.lane === undefined || this.#options.gathering !== undefined) return true;
    const lane = this.#lanes.get(entry.lane);
    if (lane === undefined) {
      this.#lanes.set(entry.lane, [entry]);
      return true;
    }
    lane.push(entry);
    return false;
  }

  #leaveLane(entry: Entry): void {
    const lane = entry.lane === undefined ? undefined : this.#lanes.get(entry.lane);
    if (entry.lane === undefined || lane === undefined) return;
    lane.shift();
    const head = lane[0];
    if (head === undefined) this.#lanes.delete(entry.lane);
    else this.#waiting.push(head);
  }

  /** A handler has returned. */
  leave(): void {
    this.#handlers -= 1;
    this.#pump();
  }

  #hasRoom(): boolean {
    const { concurrency, prefetch } = this.#options;
    return (
      this.#handlers < concurrency &&
      this.#running.size < Math.max(concurrency, Math.min(prefetch, settlingMax))
    );
  }

  #pump(): void {
    // A handler that returns at once comes back here from within; the loop goes on by itself.
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#hasRoom() && this.#next < this.#waiting.length && !this.#stopping) {
      const entry = this.#waiting[this.#next++] as Entry;
      if (entry.lost && this.#options.gathering === undefined) this.#leaveLane(entry);
      else this.#start(entry);
    }
    this.#pumping = false;
    if (this.#next === this.#waiting.length) {
      this.#waiting.length = 0;
      this.#next = 0;
    } else if (this.#next > compactAt) {
      this.#waiting = this.#waiting.slice(this.#next);
      this.#next = 0;
    }
  }

  #start(entry: Entry): void {
    this.#running.add(entry);
    this.#handlers += 1;
    entry.begin(this);
    try {
      const outcome = this.#options.run(entry);
      if (!isThenable(outcome)) return this.#finish(entry, outcome);
      outcome.then(
        (late) => this.#finish(entry, late),
        (error: unknown) => this.#failed(entry, error),
      );
    } catch (error) {
      void this.#failed(entry, error);
    }
  }

  /** No error of ours or of a transport may cost the slot, hold up the lane or end the process. */
  async #failed(entry: Entry, error: unknown): Promise<void> {
    this.#runtime.logger.error(
      `A message from ${this.address} could not be settled: ${messageOf(error)}`,
      { stack: stackOf(error) },
    );
    await this.#release(entry);
    this.#end(entry);
    this.#leaveLane(entry);
    this.#goOn();
  }

  #finish(entry: Entry, outcome: Ending): void {
    if (outcome?.outcome === "back") return void this.#giveUp(entry);
    if (outcome?.outcome !== "retry") {
      this.#end(entry);
      this.#leaveLane(entry);
      return this.#goOn();
    }
    if (this.#stopping) return void this.#giveUp(entry);
    entry.attempt += 1;
    entry.failure = entry.message?.failure;
    this.#end(entry);
    this.#rest(entry, outcome.afterMs ?? 0);
    this.#goOn();
  }

  /** It would run again here, but the bus closes: somebody else gets it. */
  async #giveUp(entry: Entry): Promise<void> {
    await this.#release(entry);
    this.#end(entry);
    this.#leaveLane(entry);
    this.#goOn();
  }

  #end(entry: Entry): void {
    entry.handled();
    this.#running.delete(entry);
  }

  #goOn(): void {
    this.#pump();
    if (this.#stopping && this.#running.size === 0) this.#drained?.();
  }

  #rest(entry: Entry, delayMs: number): void {
    const timer = this.#runtime.environment.timers.set(() => {
      this.#resting.delete(entry);
      this.#waiting.push(entry);
      this.#pump();
    }, delayMs);
    this.#resting.set(entry, timer);
  }

  /** Everything that is here and not running. */
  #takeIdle(): readonly Entry[] {
    const idle = new Set([
      ...this.#waiting.slice(this.#next),
      ...[...this.#lanes.values()].flat(),
      ...this.#resting.keys(),
    ]);
    for (const timer of this.#resting.values()) timer.cancel();
    this.#waiting = [];
    this.#next = 0;
    this.#lanes.clear();
    this.#resting.clear();
    return [...idle].filter((entry) => !this.#running.has(entry));
  }

  async #release(entry: Entry): Promise<void> {
    try {
      await entry.delivery.settle({ kind: "release" });
      if (this.#stopping) this.#options.released?.(entry);
    } catch (error) {
      this.#runtime.logger.warn(
        `A message from ${this.address} could not be given back; it comes again when its lock has run out: ${messageOf(error)}`,
      );
    }
  }
}

const compactAt = 1_024;
/** Above it nothing becomes faster, and what the collector has to copy grows. */
const settlingMax = 128;
