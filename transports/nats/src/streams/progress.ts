import { PartitionProgress } from "@waybill/core/adapter";
import type { Cursor } from "./cursor.ts";
import type { StreamDelivery } from "./delivery.ts";

/** handing: its delivery is being written down. ending: its end is. */
export type EntryState = "handing" | "open" | "ending" | "returned" | "done";

export interface Entry {
  readonly offset: number;
  attempt: number;
  state: EntryState;
  delivery: StreamDelivery;
}

/** What one reader has of a partition, and what that means for the cursor. */
export class Progress extends PartitionProgress<Entry> {
  next: number;

  constructor(cursor: Cursor) {
    super(cursor);
    this.next = cursor.committed;
  }

  /** Items are with a handler, or on their way to it. */
  get isBusy(): boolean {
    for (const { state } of this.entries.values())
      if (state === "open" || state === "handing") return true;
    return false;
  }

  /** Whether all before it is done, or about to be. */
  isFirst(entry: Entry): boolean {
    return this.head() === entry;
  }

  protected hasEnded({ state }: Entry): boolean {
    return state === "done" || state === "ending";
  }
}
