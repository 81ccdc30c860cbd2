import { WaybillError } from "./errors.ts";
import type { Lifetime } from "./message.ts";
import type { Delivery, Failure, Receiver, Source } from "./ports/transport.ts";
import { addressOf } from "./ports/transport.ts";
import type { Runtime } from "./runtime.ts";

/** A delivery on its way through this process. */
export class Entry implements Lifetime {
  readonly delivery: Delivery;
  /** Delivery attempts and runs in place together. */
  attempt: number;
  failure: Failure | undefined;
  #abort: ((reason: unknown) => void) | undefined;

  constructor(delivery: Delivery) {
    this.delivery = delivery;
    this.attempt = delivery.attempt;
    this.failure = delivery.failure;
  }

  onSignal(abort: (reason: unknown) => void): void {
    this.#abort = abort;
    this.delivery.onLockLost = () =>
      abort(new WaybillError("LOCK_LOST", "The lock of this message was lost, somebody else may be handling it. Stop without effects."));
  }

  abort(reason: unknown): void {
    this.#abort?.(reason);
  }
}

export interface ListenerOptions {
  readonly source: Source;
  readonly concurrency: number;
  readonly prefetch: number;
  readonly lockMs: number;
  readonly start?: "earliest" | "latest";
  /** Entries of one lane run one after another; undefined for no lane. */
  readonly lane?: (delivery: Delivery) => string | undefined;
  /** Settles the entry, or answers after how many milliseconds to run it again without letting its lane go on. Never rejects. */
  readonly run: (entry: Entry) => Promise<number | undefined>;
  /** Told how many entries went back unhandled at shutdown. */
  readonly released?: (entry: Entry) => void;
}

const prefetchBytes = 16 * 1024 * 1024;

/** Reads one source: bounded ahead by prefetch, bounded at work by concurrency, in order where lanes ask for it. */
export class Listener {
  readonly address: string;
  readonly #options: ListenerOptions;
  readonly #runtime: Runtime;
  #receiver: Receiver | undefined;
  #waiting: Entry[] = [];
  #next = 0;
  readonly #lanes = new Map<string, Entry[]>();
  readonly #resting = new Map<Entry, { cancel(): void }>();
  readonly #running = new Set<Entry>();
  #stopping = false;
  #drained: (() => void) | undefined;

  constructor(options: ListenerOptions, runtime: Runtime) {
    this.address = addressOf(options.source);
    this.#options = options;
    this.#runtime = runtime;
  }

  get inFlight(): number {
    return this.#running.size;
  }

  start(): void {
    const { source, prefetch, lockMs, start } = this.#options;
    this.#receiver = this.#runtime.transport.receive(
      source,
      { prefetch, prefetchBytes, lockMs, ...(start !== undefined && { start }) },
      {
        deliver: (batch) => this.#take(batch),
        fault: (error) => this.#runtime.logger.error(`Receiving from ${this.address} is disturbed: ${error.message}`, { code: error.code }),
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
    this.#stopping = true;
    await this.#receiver?.stop();
    await Promise.all(this.#takeIdle().map((entry) => this.#release(entry)));
    if (this.#running.size > 0) await this.#drain(deadlineMs);
    for (const entry of this.#running) {
      entry.abort(new WaybillError("CLOSED", "The bus is closing and its deadline has passed."));
    }
    return this.#running.size;
  }

  #take(batch: readonly Delivery[]): void {
    for (const delivery of batch) {
      const entry = new Entry(delivery);
      if (this.#stopping) void this.#release(entry);
      else if (this.#joinLane(entry)) this.#waiting.push(entry);
    }
    this.#pump();
  }

  /** Whether the entry is the head of its lane, or has none. */
  #joinLane(entry: Entry): boolean {
    const key = this.#options.lane?.(entry.delivery);
    if (key === undefined) return true;
    const lane = this.#lanes.get(key);
    if (lane === undefined) {
      this.#lanes.set(key, [entry]);
      return true;
    }
    lane.push(entry);
    return false;
  }

  #leaveLane(entry: Entry): void {
    const key = this.#options.lane?.(entry.delivery);
    const lane = key === undefined ? undefined : this.#lanes.get(key);
    if (key === undefined || lane === undefined) return;
    lane.shift();
    const head = lane[0];
    if (head === undefined) this.#lanes.delete(key);
    else this.#waiting.push(head);
  }

  #pump(): void {
    while (this.#running.size < this.#options.concurrency && this.#next < this.#waiting.length && !this.#stopping) {
      const entry = this.#waiting[this.#next++] as Entry;
      void this.#start(entry);
    }
    if (this.#next === this.#waiting.length) {
      this.#waiting.length = 0;
      this.#next = 0;
    } else if (this.#next > compactAt) {
      this.#waiting = this.#waiting.slice(this.#next);
      this.#next = 0;
    }
  }

  async #start(entry: Entry): Promise<void> {
    this.#running.add(entry);
    const againMs = await this.#options.run(entry);
    this.#running.delete(entry);
    if (againMs === undefined) this.#leaveLane(entry);
    else if (this.#stopping) void this.#release(entry);
    else this.#rest(entry, againMs);
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
    const idle = new Set([...this.#waiting.slice(this.#next), ...[...this.#lanes.values()].flat(), ...this.#resting.keys()]);
    for (const timer of this.#resting.values()) timer.cancel();
    this.#waiting = [];
    this.#next = 0;
    this.#lanes.clear();
    this.#resting.clear();
    return [...idle].filter((entry) => !this.#running.has(entry));
  }

  async #release(entry: Entry): Promise<void> {
    this.#options.released?.(entry);
    await entry.delivery.settle({ kind: "release" });
  }

  #drain(deadlineMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#runtime.environment.timers.set(resolve, deadlineMs);
      this.#drained = () => {
        timer.cancel();
        resolve();
      };
    });
  }
}

const compactAt = 1_024;
