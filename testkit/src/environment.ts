import { setImmediate, setTimeout } from "node:timers";
import type { Clock, Environment, Timers } from "@waybill/core";
import { seededRandom } from "./random.ts";
import { TimerHeap } from "./timer-heap.ts";

export interface FakeOptions {
  /** Decides all random numbers and ids. Default 1. */
  readonly seed?: number;
  /** What the clock shows at first, milliseconds since 1970. Default 2030-01-01T00:00:00Z. */
  readonly startAt?: number;
  /** Names the boot of the machine. Two environments of different names are a machine before and after a restart. */
  readonly boot?: string;
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
  /** The wall clock jumps, the monotonic ones do not, and no timer rings. */
  jump(ms: number): void;
  /** `soon` callbacks that have not run yet. With 0 after `drain`, only time or new work can move anything. */
  readonly pendingSoon: number;
  /** Timers that are set. */
  readonly pendingTimers: number;
}

const startAtDefault = Date.UTC(2030, 0, 1);

/**
 * An environment for tests. Random numbers come from `seededRandom(seed)`; ids are UUIDs made of the seed and a
 * counter, in the order of asking. `soon` uses the process's real setImmediate, whose callbacks run first in, first
 * out with all promises between them, and counts what waits: so runs repeat exactly and rest is known exactly,
 * as long as the code under test does no input or output of its own.
 */
export function fakeEnvironment(options: FakeOptions = {}): FakeEnvironment {
  return new FrozenTime(options);
}

class FrozenTime implements FakeEnvironment {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: () => number;
  readonly #seed: number;
  readonly #startAt: number;
  readonly #heap = new TimerHeap();
  #elapsed = 0;
  #jumped = 0;
  #ids = 0;
  #soon = 0;
  #moving: Promise<unknown> = Promise.resolve();

  constructor({ seed = 1, startAt = startAtDefault, boot = "boot-1" }: FakeOptions) {
    this.#seed = seed;
    this.#startAt = startAt;
    this.random = seededRandom(seed);
    this.clock = {
      now: () => this.#startAt + this.#jumped + this.#elapsed,
      monotonic: () => this.#elapsed,
      machine: { boot, now: () => this.#startAt + this.#elapsed },
    };
    this.timers = {
      set: (callback, delayMs) => this.#heap.add(callback, this.#elapsed + Math.max(0, delayMs)),
      soon: (callback) => {
        this.#soon += 1;
        setImmediate(() => {
          this.#soon -= 1;
          callback();
        });
      },
    };
  }

  get pendingSoon(): number {
    return this.#soon;
  }

  get pendingTimers(): number {
    return this.#heap.size;
  }

  id(): string {
    this.#ids += 1;
    const first = (this.#seed >>> 0).toString(16).padStart(8, "0");
    return `${first}-0000-4000-8000-${this.#ids.toString(16).padStart(12, "0")}`;
  }

  advance(ms: number): Promise<void> {
    return this.#inTurn(async () => {
      const until = this.#elapsed + ms;
      while (await this.#ringNext(until)) continue;
      this.#elapsed = until;
      await this.drain();
    });
  }

  advanceToNext(): Promise<boolean> {
    return this.#inTurn(() => this.#ringNext(Infinity));
  }

  async drain(): Promise<void> {
    // Immediates run in the order of their setting and promises between them: behind ours, all before it is done.
    do await new Promise<void>((resolve) => void setImmediate(resolve));
    while (this.#soon > 0);
  }

  jump(ms: number): void {
    this.#jumped += ms;
  }

  async #ringNext(until: number): Promise<boolean> {
    await this.drain();
    const next = this.#heap.first();
    if (next === undefined || next.at > until) return false;
    this.#heap.remove(next);
    this.#elapsed = Math.max(this.#elapsed, next.at);
    next.callback();
    await this.drain();
    return true;
  }

  /** Two moves at once go one after the other. */
  #inTurn<Value>(move: () => Promise<Value>): Promise<Value> {
    const moved = this.#moving.then(move);
    this.#moving = moved.catch(() => undefined);
    return moved;
  }
}

/** Waits on the machine's own clock and keeps the process alive meanwhile, which the timers of an Environment do not. */
export function reallyWait(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}
