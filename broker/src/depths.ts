import type { Clock } from "@waybill/core";

/** Counting so few is cheaper than remembering. */
const exactMax = 10_000;
/** A count of a million is read anew every second, one of 100,000 ten times as often: so polling costs a few hundredths of a core at most. */
const msPerMessage = 1 / 1_000;
const keptMsMax = 10_000;

interface Kept {
  readonly count: number;
  /** Monotonic. */
  readonly until: number;
}

/**
 * How many messages stand somewhere. SQLite counts by reading every row, about 20 million a second, and counters kept in the
 * file would be one hot row for all who send. So large counts are kept for as many milliseconds as they have thousands, ten seconds at
 * most; up to 10,000 they are exact.
 */
export class Depths {
  readonly #clock: Clock;
  readonly #kept = new Map<string, Kept>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The kept count of that place, or what `read` counts now. */
  of(place: string, read: () => number): number {
    const now = this.#clock.monotonic();
    const kept = this.#kept.get(place);
    if (kept !== undefined && now < kept.until) return kept.count;
    const count = read();
    if (count <= exactMax) this.#kept.delete(place);
    else this.#kept.set(place, { count, until: now + Math.min(keptMsMax, count * msPerMessage) });
    return count;
  }
}
