import { PartitionProgress, type Reached } from "@waybill/core/adapter";
import type { StreamDelivery } from "./delivery.ts";

/** How far a group has come in a partition, as it is stored. */
export interface StoredCursor extends Reached {
  readonly partition: number;
}

export type EntryState = "open" | "settling" | "returned" | "done";

export interface Entry {
  readonly offset: number;
  attempt: number;
  readonly bytes: number;
  state: EntryState;
  delivery: StreamDelivery;
}

/** One partition in the hands of one receiver. */
export class StreamReader extends PartitionProgress<Entry> {
  readonly partition: number;
  /** Its place in the stream, from 0. */
  readonly number: number;
  next: number;
  /** It shall be given up as soon as nothing of it is in the hands of a handler. */
  leaving = false;
  /** Somebody else has the partition, or it was put to another place: nothing that was read here counts any more. */
  lost = false;

  constructor(number: number, stored: StoredCursor) {
    super(stored);
    this.partition = stored.partition;
    this.number = number;
    this.next = stored.committed;
  }

  /** How many may be read now when there is room for that many. */
  readable(room: number): number {
    if (this.leaving || !this.mayGoOn) return 0;
    return this.isSuspect ? Math.min(1, room) : room;
  }

  /** Items of it are with a handler, or on their way to the database. */
  get isBusy(): boolean {
    for (const { state } of this.entries.values())
      if (state === "open" || state === "settling") return true;
    return false;
  }

  /** Whether all before it is done, or on its way to the database. */
  isFirst({ offset }: Entry): boolean {
    for (const entry of this.entries.values())
      if (entry.state === "open" || entry.state === "returned") return entry.offset === offset;
    return false;
  }

  /** The lowest offset that is not done, if `ending` ended too. */
  commitPoint(ending: ReadonlySet<Entry>): number {
    for (const entry of this.entries.values()) {
      if (entry.state !== "done" && !ending.has(entry)) return entry.offset;
    }
    return this.next;
  }

  protected hasEnded({ state }: Entry): boolean {
    return state === "done";
  }
}
