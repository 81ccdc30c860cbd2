import type { StreamSpec } from "../ports/transport.ts";
import { Deque } from "./deque.ts";
import type { Group } from "./group.ts";
import type { Kernel } from "./kernel.ts";
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

  at(offset: number): Item | undefined {
    return this.#items.at(offset - this.#base);
  }

  append(item: Item): void {
    this.#items.push(item);
    this.#bytes += item.parcel.bytes;
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

/** A stream: items stay until retention removes them, and each group reads them at its own pace. */
export class Log {
  readonly name: string;
  readonly partitions: readonly Partition[];
  readonly groups: Map<string, Group> = new Map();
  retention: StreamSpec["retention"];
  readonly #kernel: Kernel;
  #turn = 0;

  constructor(spec: StreamSpec, kernel: Kernel) {
    this.name = spec.name;
    this.retention = spec.retention;
    this.partitions = Array.from({ length: spec.partitions }, (_, index) => new Partition(index));
    this.#kernel = kernel;
  }

  put(parcel: Parcel): void {
    const partition = this.#partitionOf(parcel.envelope.header.partitionkey);
    this.#kernel.charge(parcel.bytes);
    partition.append({ seq: this.#kernel.nextSequence(), parcel });
    this.#trim(partition, parcel.enqueuedAt);
    for (const group of this.groups.values()) group.onAppend(partition.index);
  }

  trim(): void {
    const now = this.#kernel.now();
    for (const partition of this.partitions) this.#trim(partition, now);
  }

  #trim(partition: Partition, now: number): void {
    const { ageMs = Infinity, bytes = Infinity } = this.retention;
    partition.trim({ before: now - ageMs, bytes }, (freed) => this.#kernel.free(freed));
  }

  /** Items of one key share a partition; items without a key take turns. */
  #partitionOf(key: string | undefined): Partition {
    const place = key === undefined ? this.#turn++ : fnv1a(key);
    return this.partitions[place % this.partitions.length] as Partition;
  }
}

/** FNV-1a, 32 bits, over UTF-16 units: short, and even enough for keys. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++)
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
