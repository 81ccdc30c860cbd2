import type { Entry } from "./entry.ts";
import type { Timer, Timers } from "../ports/environment.ts";

/** Entries that run again after a while, without leaving their lane. */
export class Resting {
  readonly #timers: Timers;
  readonly #wake: (entry: Entry) => void;
  readonly #resting = new Map<Entry, Timer>();

  constructor(timers: Timers, wake: (entry: Entry) => void) {
    this.#timers = timers;
    this.#wake = wake;
  }

  add(entry: Entry, delayMs: number): void {
    const timer = this.#timers.set(() => {
      this.#resting.delete(entry);
      this.#wake(entry);
    }, delayMs);
    this.#resting.set(entry, timer);
  }

  /** All of them, which are forgotten. */
  takeAll(): readonly Entry[] {
    const all = [...this.#resting.keys()];
    for (const timer of this.#resting.values()) timer.cancel();
    this.#resting.clear();
    return all;
  }
}
