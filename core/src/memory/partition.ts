import { Deque } from "../handling/deque.ts";
import { type RetainedRange, firstSince } from "../operating/seek.ts";
import type { Parcel } from "./message.ts";

export interface Item {
  readonly seq: number;
  readonly parcel: Parcel;
}

/** One ordered part of a stream: offsets from 0, the oldest items removed by retention. */
export class Partition {
  readonly index: number;
  readonly #items = new Deque<Item>();
  #base = 0;
  #bytes = 0;
  #appended = 0;

  constructor(index: number) {
    this.index = index;
  }

  /** Offset of the oldest item that is still here. */
  get base(): number {
    return this.#base;
  }

  /** Offset that the next item gets. */
  get end(): number {
    return this.#base + this.#items.length;
  }

  /** Items that were ever appended. */
  get appended(): number {
    return this.#appended;
  }

  at(offset: number): Item | undefined {
    return this.#items.at(offset - this.#base);
  }

  range(): RetainedRange {
    const { index: partition, base: oldest, end } = this;
    const takenAt = (offset: number): number => this.at(offset)?.parcel.enqueuedAt ?? Infinity;
    const offsetAt = (moment: number): number =>
      firstSince(moment, { low: oldest, high: end }, takenAt);
    return { partition, oldest, end, offsetAt };
  }

  append(item: Item): void {
    this.#items.push(item);
    this.#bytes += item.parcel.bytes;
    this.#appended += 1;
  }

  /** Removes what retention lets go, oldest first. */
  trim(
    bounds: { readonly before: number; readonly bytes: number },
    free: (bytes: number) => void,
  ): void {
    for (let oldest = this.#items.at(0); oldest !== undefined; oldest = this.#items.at(0)) {
      if (oldest.parcel.enqueuedAt >= bounds.before && this.#bytes <= bounds.bytes) return;
      this.#items.shift();
      this.#base += 1;
      this.#bytes -= oldest.parcel.bytes;
      free(oldest.parcel.bytes);
    }
  }
}
