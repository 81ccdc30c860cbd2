import { Deque } from "./deque.ts";
import { type Ending, Entry, type Slot } from "./entry.ts";
import { WaybillError, messageOf, stackOf } from "../errors.ts";
import type { RateGate } from "../flow/rate-gate.ts";
import { Lanes } from "./lanes.ts";
import type { ListenerOptions } from "./listener-options.ts";
import type { Delivery, Receiver, Settlement } from "../ports/transport.ts";
import { addressOf } from "../ports/transport.ts";
import { Resting } from "./resting.ts";
import { Roster } from "./roster.ts";
import type { Runtime } from "../runtime.ts";
import { isThenable } from "../thenable.ts";
import { within } from "../within.ts";

const prefetchBytes = 16 * 1024 * 1024;

/**
 * Reads one source: bounded ahead by prefetch, bounded at work by concurrency, in order where lanes ask for it. A handler's place is free
 * when it returns; how many may wait for their settlement to be stored is bounded by prefetch.
 */
export class Listener implements Slot {
  readonly address: string;
  readonly #options: ListenerOptions;
  readonly #runtime: Runtime;
  readonly #gate: RateGate | undefined;
  #receiver: Receiver | undefined;
  #waiting = new Deque<Entry>();
  readonly #lanes = new Lanes();
  readonly #resting: Resting;
  /** Begun and not yet settled. */
  readonly #running = new Roster<Entry>();
  /** Handlers of them that have not returned. */
  #handlers = 0;
  #pumping = false;
  /** Who paused has to resume. */
  #pausedHere = false;
  #circuitOpen = false;
  #stopping = false;
  #drained: (() => void) | undefined;

  constructor(options: ListenerOptions, runtime: Runtime) {
    this.address = addressOf(options.source);
    this.#options = options;
    this.#runtime = runtime;
    const ready = (entry: Entry): void => {
      this.#waiting.push(entry);
      this.#pump();
    };
    this.#resting = new Resting(runtime.environment.timers, ready);
    this.#gate = options.gate?.({
      ready,
      giveBack: (entry, delayMs) => void this.#giveUp(entry, delayMs),
    });
    options.breaker?.attach({ holdBack: () => this.#holdBack(), letIn: () => this.#letIn() });
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
    this.#pausedHere = true;
    this.#receiver?.pause();
  }

  resume(): void {
    this.#pausedHere = false;
    if (!this.#circuitOpen) this.#receiver?.resume();
  }

  #holdBack(): void {
    this.#circuitOpen = true;
    this.#receiver?.pause();
    for (const entry of this.#takeIdle()) void this.#release(entry);
  }

  #letIn(): void {
    this.#circuitOpen = false;
    if (!this.#pausedHere) this.#receiver?.resume();
  }

  /** What comes or would wait here goes back. */
  get #isShut(): boolean {
    return this.#stopping || this.#circuitOpen;
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
    this.#options.breaker?.end();
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
      if (this.#options.wants?.(delivery) === false) {
        void this.#skip(delivery);
        continue;
      }
      const { session } = delivery;
      const lane = session === undefined ? this.#options.lane?.(delivery) : `key ${session.id}`;
      const entry = new Entry(delivery, lane);
      if (this.#isShut) void this.#release(entry);
      // Who gathers keeps its lanes itself.
      else if (this.#options.gathering !== undefined || this.#lanes.join(entry))
        this.#waiting.push(entry);
    }
    this.#pump();
  }

  async #skip(delivery: Delivery): Promise<void> {
    try {
      await delivery.settle(done);
    } catch (error) {
      this.#runtime.logger.warn(
        `A message from ${this.address} that no rule takes could not be completed; it comes again when its lock has run out: ${messageOf(error)}`,
      );
    }
  }

  #leaveLane(entry: Entry): void {
    const head = this.#lanes.leave(entry);
    if (head !== undefined) this.#waiting.push(head);
  }

  /** A handler has returned. */
  leave(): void {
    this.#handlers -= 1;
    this.#pump();
  }

  #hasRoom(): boolean {
    const { concurrency, prefetch, breaker } = this.#options;
    return (
      this.#handlers < concurrency &&
      this.#running.size < Math.max(concurrency, Math.min(prefetch, settlingMax)) &&
      (breaker === undefined || breaker.mayBegin)
    );
  }

  #pump(): void {
    // A handler that returns at once comes back here from within; the loop goes on by itself.
    if (this.#pumping) return;
    this.#pumping = true;
    while (this.#hasRoom() && !this.#stopping) {
      const entry = this.#waiting.shift();
      if (entry === undefined) break;
      if (entry.lost && this.#options.gathering === undefined) this.#pass(entry);
      else if (this.#gate === undefined || this.#gate.admit(entry)) this.#start(entry);
    }
    this.#pumping = false;
  }

  /** Somebody else may have it. */
  #pass(entry: Entry): void {
    this.#gate?.forget(entry);
    this.#leaveLane(entry);
  }

  #start(entry: Entry): void {
    this.#running.add(entry);
    this.#handlers += 1;
    entry.begin(this);
    this.#options.breaker?.began(entry);
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
    if (this.#isShut) return void this.#giveUp(entry);
    entry.attempt += 1;
    entry.failure = entry.message?.failure;
    this.#end(entry);
    this.#resting.add(entry, outcome.afterMs ?? 0);
    this.#goOn();
  }

  /** It would run here, but not soon or not any more: somebody else gets it. */
  async #giveUp(entry: Entry, delayMs = 0): Promise<void> {
    await this.#release(entry, delayMs);
    this.#end(entry);
    this.#leaveLane(entry);
    this.#goOn();
  }

  #end(entry: Entry): void {
    this.#options.breaker?.ended(entry);
    entry.handled();
    this.#running.delete(entry);
  }

  #goOn(): void {
    this.#pump();
    if (this.#stopping && this.#running.size === 0) this.#drained?.();
  }

  /** Everything that is here and not running. */
  #takeIdle(): readonly Entry[] {
    const idle = new Set([
      ...this.#waiting,
      ...this.#lanes.takeIdle(this.#running),
      ...this.#resting.takeAll(),
      ...(this.#gate?.takeAll() ?? []),
    ]);
    this.#waiting = new Deque();
    return [...idle].filter((entry) => !this.#running.has(entry));
  }

  async #release(entry: Entry, delayMs = 0): Promise<void> {
    try {
      await entry.delivery.settle(delayMs > 0 ? { kind: "release", delayMs } : untouched);
      if (this.#stopping) this.#options.released?.(entry);
    } catch (error) {
      this.#runtime.logger.warn(
        `A message from ${this.address} could not be given back; it comes again when its lock has run out: ${messageOf(error)}`,
      );
    }
  }
}

const untouched: Settlement = { kind: "release" };
const done: Settlement = { kind: "complete" };
/** Above it nothing becomes faster, and what the collector has to copy grows. */
const settlingMax = 128;
