import { partitionHash } from "../adapter/partition-hash.ts";
import { type LedgerEntry, ledgerEntry, nothingStands } from "../ports/ledger.ts";
import type { StreamSpec } from "../ports/transport.ts";
import type { Group, GroupLog } from "./group.ts";
import type { Kernel } from "./kernel.ts";
import type { Parcel } from "./message.ts";
import { Partition } from "./partition.ts";

/** A stream: items stay until retention removes them, and each group reads them at its own pace. */
export class Log implements GroupLog {
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

  ledger(): LedgerEntry {
    const sum = (of: (partition: Partition) => number): number =>
      this.partitions.reduce((total, partition) => total + of(partition), 0);
    const accepted = sum(({ appended }) => appended);
    const retention = sum(({ base }) => base);
    return ledgerEntry({
      address: this.name,
      kind: "log",
      book: new Map([["", { accepted, retention }]]),
      standing: nothingStands,
      retained: sum(({ base, end }) => end - base),
      oldestWaitingMs: 0,
    });
  }

  #trim(partition: Partition, now: number): void {
    const { ageMs = Infinity, bytes = Infinity } = this.retention;
    partition.trim({ before: now - ageMs, bytes }, (freed) => this.#kernel.free(freed));
  }

  /** Items of one key share a partition; items without a key take turns. */
  #partitionOf(key: string | undefined): Partition {
    const place = key === undefined ? this.#turn++ : partitionHash(key);
    return this.partitions[place % this.partitions.length] as Partition;
  }
}
