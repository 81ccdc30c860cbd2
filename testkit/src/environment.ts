import { setImmediate, setTimeout } from "node:timers";
import type { Environment, Timer } from "@waybill/core";
import { seededRandom } from "./random.ts";

export interface FakeOptions {
  /** Decides all random numbers and ids. Default 1. */
  readonly seed?: number;
  /** What the clock shows at first, milliseconds since 1970. Default 2030-01-01T00:00:00Z. */
  readonly startAt?: number;
}

/** An environment whose time stands still until a test moves it. */
export interface FakeEnvironment extends Environment {
  /**
   * Moves both clocks on by `ms`. Timers that fall due ring one by one, in the order of their moment and then of
   * their setting, each at its own moment; between two of them everything that they set off runs, as `drain` says.
   */
  advance(ms: number): Promise<void>;
  /** Moves to the next timer, rings it, and drains. False when no timer is set. */
  advanceToNext(): Promise<boolean>;
  /** Runs until no `soon` callback waits and no promise that depends on them is left to continue. Time stands still. */
  drain(): Promise<void>;
  /** The wall clock jumps, the monotonic one does not, and no timer rings. */
  jump(ms: number): void;
  /** `soon` callbacks that have not run yet. With 0 after `drain`, only time or new work can move anything. */
  readonly pendingSoon: number;
  /** Timers that are set. */
  readonly pendingTimers: number;
}

interface FakeTimer {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

const startAtDefault = Date.UTC(2030, 0, 1);

/**
 * An environment for tests. Random numbers come from `seededRandom(seed)`; ids are UUIDs made of the seed and a
 * counter, in the order of asking. `soon` uses the process's real setImmediate, whose callbacks run first in, first
 * out with all promises between them, and counts what waits: so runs repeat exactly and rest is known exactly,
 * as long as the code under test does no input or output of its own.
 */
export function fakeEnvironment({ seed = 1, startAt = startAtDefault }: FakeOptions = {}): FakeEnvironment {
  const random = seededRandom(seed);
  const timers = new TimerHeap();
  let elapsed = 0;
  let jumped = 0;
  let ids = 0;
  let soonWaiting = 0;
  let moving: Promise<unknown> = Promise.resolve();

  const drain = async (): Promise<void> => {
    do await new Promise<void>((resolve) => void setImmediate(resolve));
    while (soonWaiting > 0);
  };
  const ringNext = async (until: number): Promise<boolean> => {
    await drain();
    const next = timers.first();
    if (next === undefined || next.at > until) return false;
    timers.remove(next);
    elapsed = Math.max(elapsed, next.at);
    next.callback();
    await drain();
    return true;
  };
  // Two calls at once move one after the other.
  const inTurn = <Value>(move: () => Promise<Value>): Promise<Value> => {
    const moved = moving.then(move);
    moving = moved.catch(() => undefined);
    return moved;
  };

  return {
    clock: { now: () => startAt + jumped + elapsed, monotonic: () => elapsed },
    timers: {
      set: (callback, delayMs): Timer => timers.add(callback, elapsed + Math.max(0, delayMs)),
      soon: (callback) => {
        soonWaiting += 1;
        setImmediate(() => {
          soonWaiting -= 1;
          callback();
        });
      },
    },
    random,
    id: () => idOf(seed, ++ids),
    advance: (ms) =>
      inTurn(async () => {
        const until = elapsed + ms;
        while (await ringNext(until)) continue;
        elapsed = until;
        await drain();
      }),
    advanceToNext: () => inTurn(() => ringNext(Infinity)),
    drain,
    jump: (ms) => {
      jumped += ms;
    },
    get pendingSoon(): number {
      return soonWaiting;
    },
    get pendingTimers(): number {
      return timers.size;
    },
  };
}

/** Waits on the machine's own clock and keeps the process alive meanwhile, which the timers of an Environment do not. */
export function reallyWait(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}

function idOf(seed: number, count: number): string {
  const first = (seed >>> 0).toString(16).padStart(8, "0");
  return `${first}-0000-4000-8000-${count.toString(16).padStart(12, "0")}`;
}

/** Timers by moment, then by order of setting. A cancelled one leaves when its turn comes. */
class TimerHeap {
  readonly #heap: FakeTimer[] = [];
  readonly #live = new Set<FakeTimer>();
  #order = 0;

  get size(): number {
    return this.#live.size;
  }

  add(callback: () => void, at: number): Timer {
    const timer = { at, order: ++this.#order, callback };
    this.#live.add(timer);
    this.#heap.push(timer);
    this.#rise(this.#heap.length - 1);
    return { cancel: () => void this.#live.delete(timer) };
  }

  first(): FakeTimer | undefined {
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (this.#live.has(first)) return first;
      this.#pop();
    }
    return undefined;
  }

  remove(timer: FakeTimer): void {
    this.#live.delete(timer);
  }

  #pop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    for (let slot = 0; ; ) {
      let least = slot;
      for (const below of [2 * slot + 1, 2 * slot + 2]) if (this.#before(below, least)) least = below;
      if (least === slot) return;
      this.#swap(slot, least);
      slot = least;
    }
  }

  #rise(from: number): void {
    for (let slot = from; slot > 0; ) {
      const above = (slot - 1) >> 1;
      if (!this.#before(slot, above)) return;
      this.#swap(slot, above);
      slot = above;
    }
  }

  #before(left: number, right: number): boolean {
    const [one, other] = [this.#heap[left], this.#heap[right]];
    if (one === undefined || other === undefined) return false;
    return one.at < other.at || (one.at === other.at && one.order < other.order);
  }

  #swap(left: number, right: number): void {
    const kept = this.#heap[left] as FakeTimer;
    this.#heap[left] = this.#heap[right] as FakeTimer;
    this.#heap[right] = kept;
  }
}
