import { type Environment, type Timer, systemEnvironment } from "@waybill/core";
import { reallyWait } from "../environment.ts";

/** What a process holds that a leak adds to, by kind. */
export type Handles = Readonly<Record<string, number>>;

const lookMs = 20;
/** What the load set off ends within a moment after it. Not longer, or what leaks until its time is up would be gone. */
const lookingMs = 2_000;

/**
 * Counts what this process holds: sockets, requests and timers that keep it alive, and the timers of Waybill, which do not. A bus whose timers
 * are to be counted is connected with `environment`.
 */
export class Held {
  readonly environment: Environment;
  #timers = 0;

  constructor(inner: Environment = systemEnvironment) {
    const set = (callback: () => void, delayMs: number): Timer => {
      let isSet = true;
      const over = (): void => {
        if (isSet) this.#timers -= 1;
        isSet = false;
      };
      this.#timers += 1;
      const timer = inner.timers.set(() => {
        over();
        callback();
      }, delayMs);
      return {
        cancel: () => {
          over();
          timer.cancel();
        },
      };
    };
    this.environment = {
      ...inner,
      timers: { set, soon: (callback) => inner.timers.soon(callback) },
    };
  }

  /** The least that it holds while it is at rest: what is set and ends again and again, such as a heartbeat, is there at one look and not at the next. */
  async atRest(): Promise<Handles> {
    const { clock } = systemEnvironment;
    const end = clock.monotonic() + lookingMs;
    let least = this.#now();
    while (clock.monotonic() < end) {
      await reallyWait(lookMs);
      const held = this.#now();
      if (sum(held) < sum(least)) least = held;
    }
    return least;
  }

  #now(): Handles {
    const held: Record<string, number> = { "Waybill's timers": this.#timers };
    for (const name of process.getActiveResourcesInfo())
      if (name !== "Immediate") held[name] = (held[name] ?? 0) + 1;
    return held;
  }
}

/** Everything together. */
export function sum(handles: Handles): number {
  return Object.values(handles).reduce((total, count) => total + count, 0);
}
