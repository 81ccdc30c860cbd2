import { dedupKey } from "../envelope.ts";
import type { Outgoing } from "../ports/transport.ts";
import type { Kernel } from "./kernel.ts";

/** What was sent to one destination within its window of duplicate detection. */
export class Remembered {
  /** Milliseconds; 0 remembers nothing. */
  windowMs = 0;
  readonly #kernel: Kernel;
  /** Until when, by key; oldest first, as long as the window stays the same. */
  readonly #until = new Map<string, number>();

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  knows(key: string, now: number): boolean {
    return (this.#until.get(key) ?? now) > now;
  }

  /** Takes the place of a few whose time is over, so that there are never many of those. */
  add(key: string, now: number): void {
    this.#trim(now, trimsPerAdd);
    this.#forget(key);
    this.#until.set(key, now + this.windowMs);
    this.#kernel.charge(key.length);
  }

  /** Lets go of everything whose time is over. */
  trim(now: number): void {
    this.#trim(now, Infinity);
  }

  clear(): void {
    this.#trim(Infinity, Infinity);
  }

  #trim(now: number, most: number): void {
    let left = most;
    for (const [key, until] of this.#until) {
      if (until > now || left-- <= 0) return;
      this.#forget(key);
    }
  }

  #forget(key: string): void {
    if (this.#until.delete(key)) this.#kernel.free(key.length);
  }
}

const trimsPerAdd = 2;

/** What of one batch is to be remembered, once it is known that all of it is stored. */
export class Novel {
  readonly #now: number;
  readonly #keys = new Map<Remembered, Set<string>>();

  constructor(now: number) {
    this.#now = now;
  }

  /** The key of a message that is new there, empty where nothing is remembered; undefined for a duplicate. */
  note(remembered: Remembered | undefined, { envelope }: Outgoing): string | undefined {
    if (remembered === undefined || remembered.windowMs === 0) return "";
    const key = dedupKey(envelope.header);
    const keys = this.#keys.get(remembered) ?? new Set();
    if (keys.has(key) || remembered.knows(key, this.#now)) return undefined;
    this.#keys.set(remembered, keys.add(key));
    return key;
  }

  remember(): void {
    for (const [remembered, keys] of this.#keys)
      for (const key of keys) remembered.add(key, this.#now);
  }
}
