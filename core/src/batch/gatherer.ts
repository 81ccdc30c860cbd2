import { bodyBytes } from "../envelope.ts";
import type { Ending, Entry } from "../handling/entry.ts";
import type { Gathering } from "../handling/listener-options.ts";
import { complete } from "../handling/outcome.ts";
import type { Timer } from "../ports/environment.ts";
import type { Runtime } from "../runtime.ts";
import type { BatchBounds } from "./batch.ts";
import { BatchLanes } from "./lanes.ts";
import { Member } from "./member.ts";
import { type BatchParts, BatchRun } from "./run.ts";

export interface GathererOptions {
  /** Batches handled at a time. */
  readonly concurrency: number;
  readonly bounds: Required<BatchBounds>;
}

/**
 * Gathers messages into batches. A batch closes when it has enough messages or bytes, or when the oldest message that may run has waited
 * long enough; while no handler is free it stays open, and grows. What the prefetch lets through bounds it.
 */
export class Gatherer implements Gathering {
  readonly #options: GathererOptions;
  readonly #runtime: Runtime;
  readonly #parts: BatchParts;
  readonly #lanes = new BatchLanes();
  /** In the order of arrival, but what had to wait for its lane: may run now. */
  #ready: Member[] = [];
  #readyBytes = 0;
  #running = 0;
  #inFlight = 0;
  #arrivals = 0;
  #timer: Timer | undefined;
  /** The arrival that the timer is for. */
  #timerFor = Infinity;
  /** When the first of those that may run arrived, monotonic milliseconds; Infinity for none. */
  #oldestAt = Infinity;
  #closing = false;

  constructor(
    options: GathererOptions,
    runtime: Runtime,
    parts: Omit<BatchParts, "holdBack" | "runtime">,
  ) {
    this.#options = options;
    this.#runtime = runtime;
    this.#parts = { ...parts, runtime, holdBack: (member) => this.#holdBack(member) };
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Resolves when the message is settled, given back, or waits for its next attempt. */
  run(entry: Entry): Ending | Promise<Ending> {
    const { delivery, lane } = entry;
    entry.order ??= this.#arrivals++;
    if (entry.lost) {
      this.#take(this.#lanes.gone(entry, lane));
      return complete();
    }
    const member = new Member({
      entry,
      bytes: bodyBytes(delivery.envelope.body),
      arrivedAt: this.#now(),
    });
    void member.ended.then(
      (ending) => this.#take(this.#lanes.leave(member, ending?.outcome === "retry")),
      () => this.#take(this.#lanes.leave(member, false)),
    );
    this.#take(this.#lanes.admit(member));
    return member.ended;
  }

  close(): void {
    this.#closing = true;
    this.#pump(true);
    const left = [...this.#ready, ...this.#lanes.drain()];
    this.#keep([]);
    this.#arm();
    for (const member of left) member.end(back);
  }

  /** May run now. */
  #take(members: readonly Member[]): void {
    if (members.length === 0) return;
    for (const member of members) {
      if (this.#closing) member.end(back);
      else {
        this.#ready.push(member);
        this.#readyBytes += member.bytes;
        this.#oldestAt = Math.min(this.#oldestAt, member.arrivedAt);
      }
    }
    this.#pump(false);
  }

  async #holdBack(member: Member): Promise<void> {
    await member.holdBack();
    this.#take(this.#lanes.holdBack(member));
  }

  #pump(mayBeAged: boolean): void {
    let isAged = mayBeAged && this.#isAged();
    while (this.#running < this.#options.concurrency && (isAged || this.#isFull())) {
      const batch = this.#form();
      if (batch.length > 0) void this.#run(batch);
      isAged = mayBeAged && this.#isAged();
    }
    this.#arm();
  }

  #isFull(): boolean {
    const { size, bytesMax } = this.#options.bounds;
    const { length } = this.#ready;
    return length >= size || (length > 0 && (this.#closing || this.#readyBytes >= bytesMax));
  }

  #isAged(): boolean {
    return this.#ready.length > 0 && this.#oldestAt + this.#options.bounds.maxAgeMs <= this.#now();
  }

  /** Takes the first of those that may run, and those that may run with it: retried ones keep among themselves, and a suspect is alone. */
  #form(): readonly Member[] {
    const [first] = this.#ready;
    const { size, bytesMax } = this.#options.bounds;
    const most = first?.isSuspect === true ? 1 : size;
    const batch: Member[] = [];
    const rest: Member[] = [];
    const passedOver = new Set<string>();
    let bytes = 0;
    let isOpen = true;
    for (const member of this.#ready) {
      if (member.entry.lost) {
        member.end(complete());
        continue;
      }
      const { lane } = member;
      isOpen &&= batch.length < most && (batch.length === 0 || bytes + member.bytes <= bytesMax);
      const fits =
        member === first ||
        (member.isRetried === first?.isRetried &&
          !member.isSuspect &&
          (lane === undefined || !passedOver.has(lane)));
      if (isOpen && fits) {
        batch.push(member);
        bytes += member.bytes;
      } else {
        rest.push(member);
        if (lane !== undefined) passedOver.add(lane);
      }
    }
    this.#lanes.enter(batch);
    this.#keep(rest.filter((member) => !this.#lanes.hold(member)));
    return batch;
  }

  #keep(ready: Member[]): void {
    this.#ready = ready;
    this.#readyBytes = 0;
    this.#oldestAt = Infinity;
    for (const { bytes, arrivedAt } of ready) {
      this.#readyBytes += bytes;
      this.#oldestAt = Math.min(this.#oldestAt, arrivedAt);
    }
  }

  async #run(batch: readonly Member[]): Promise<void> {
    this.#running += 1;
    this.#inFlight += batch.length;
    try {
      await new BatchRun(batch, this.#parts).run();
    } catch (error) {
      // Not the handler's error but ours: the listener reports it and gives the messages back.
      for (const member of batch) member.crash(error);
    } finally {
      this.#running -= 1;
      this.#inFlight -= batch.length;
      this.#pump(true);
    }
  }

  /** One timer, for the oldest message; what comes later does not move it. */
  #arm(): void {
    const oldestAt = this.#running < this.#options.concurrency ? this.#oldestAt : Infinity;
    if (oldestAt === this.#timerFor) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerFor = oldestAt;
    if (oldestAt === Infinity) return;
    const delayMs = Math.max(0, oldestAt + this.#options.bounds.maxAgeMs - this.#now());
    this.#timer = this.#runtime.environment.timers.set(() => {
      this.#timerFor = Infinity;
      this.#pump(true);
    }, delayMs);
  }

  #now(): number {
    return this.#runtime.environment.clock.monotonic();
  }
}

const back: Ending = { outcome: "back" };
