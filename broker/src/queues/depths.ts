import type { Clock } from "@waybill/core";

/** Counting so few is cheaper than remembering. */
const exactMax = 10_000;
/** A count of a million is read anew every second, one of 100,000 ten times as often: so polling costs a few hundredths of a core at most. */
const msPerMessage = 1 / 1_000;
const keptMsMax = 10_000;

interface Look<Value> {
  readonly value: Value;
  /** Monotonic. */
  readonly until: number;
}

/**
 * How many messages stand somewhere. SQLite counts by reading every row, about 20 million a second, and counters kept in the
 * file would be one hot row for all who send. So large counts are kept for as many milliseconds as they have thousands, ten seconds at
 * most; up to 10,000 they are exact.
 */
export class Kept<Value> {
  readonly #clock: Clock;
  readonly #countOf: (value: Value) => number;
  readonly #looks = new Map<string, Look<Value>>();

  /** `countOf`: how many messages were counted for a value. */
  constructor(clock: Clock, countOf: (value: Value) => number) {
    this.#clock = clock;
    this.#countOf = countOf;
  }

  /** What is kept of that place, or what `read` finds now. */
  of(place: string, read: () => Value): Value {
    const now = this.#clock.monotonic();
    const look = this.#looks.get(place);
    if (look !== undefined && now < look.until) return look.value;
    const value = read();
    const count = this.#countOf(value);
    if (count <= exactMax) this.#looks.delete(place);
    else this.#looks.set(place, { value, until: now + Math.min(keptMsMax, count * msPerMessage) });
    return value;
  }
}
