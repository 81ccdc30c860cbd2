import type { StreamDelivery } from "./delivery.ts";

/** How far a group has come in a partition, as it is stored. */
export interface StoredCursor {
  readonly partition: number;
  /** Everything below is done. */
  readonly committed: number;
  /** Everything from here on was never delivered. */
  readonly delivered: number;
  /** Attempts made at the item at `committed`; 0 when they were not counted one by one, which means one if it was delivered. */
  readonly attempt: number;
}

export type EntryState = "open" | "settling" | "returned" | "done";

export interface Entry {
  readonly offset: number;
  attempt: number;
  readonly bytes: number;
  state: EntryState;
  delivery: StreamDelivery;
}

/** One partition in the hands of one receiver: what was read from it and not yet committed, in order. */
export class StreamReader {
  readonly partition: number;
  /** Its place in the stream, from 0. */
  readonly number: number;
  /** Below this a former reader had begun and not committed: one item at a time, each attempt counted, until it is passed. */
  readonly #suspectUntil: number;
  readonly #headAttempt: number;
  readonly #headOffset: number;
  /** In order of offset. */
  readonly entries: Map<number, Entry> = new Map();
  /** The offset to read next. */
  next: number;
  /** It shall be given up as soon as nothing of it is in the hands of a handler. */
  leaving = false;
  /** Somebody else has the partition, or it was put to another place: nothing that was read here counts any more. */
  lost = false;

  constructor(number: number, stored: StoredCursor) {
    this.partition = stored.partition;
    this.number = number;
    this.next = stored.committed;
    this.#headOffset = stored.committed;
    this.#headAttempt = stored.attempt;
    this.#suspectUntil = stored.delivered;
  }

  /** Whether what comes next may have been begun by a former reader. */
  get isSuspect(): boolean {
    return this.next < this.#suspectUntil;
  }

  /** Which attempt a delivery of this offset is. */
  attemptOf(offset: number): number {
    if (offset >= this.#suspectUntil) return 1;
    return offset === this.#headOffset ? Math.max(1, this.#headAttempt) + 1 : 2;
  }

  /** How many may be read now when there is room for that many. */
  readable(room: number): number {
    if (this.leaving) return 0;
    const [first] = this.entries.values();
    if (first !== undefined && first.offset < this.#suspectUntil) return 0;
    return this.isSuspect ? Math.min(1, room) : room;
  }

  /** Items of it are with a handler, or on their way to the database. */
  get isBusy(): boolean {
    for (const { state } of this.entries.values())
      if (state === "open" || state === "settling") return true;
    return false;
  }

  returned(): Entry[] {
    return [...this.entries.values()].filter(({ state }) => state === "returned");
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

  /** Drops what is committed. */
  settleDown(): void {
    for (const entry of this.entries.values()) {
      if (entry.state !== "done") return;
      this.entries.delete(entry.offset);
    }
  }

  /** What the next reader has to know. What was returned untouched counts as never delivered, unless something behind it was. */
  handover(): StoredCursor {
    const committed = this.commitPoint(none);
    const head = this.entries.get(committed);
    const unread = committed === this.#headOffset ? this.#headAttempt : 0;
    const attempt =
      head === undefined ? unread : head.attempt - (head.state === "returned" ? 1 : 0);
    const begun = [...this.entries.values()].findLast(({ state }) => state !== "returned");
    const delivered = Math.max(
      attempt > 0 ? committed + 1 : committed,
      begun === undefined ? 0 : begun.offset + 1,
      this.isSuspect ? this.#suspectUntil : 0,
    );
    return { partition: this.partition, committed, delivered, attempt };
  }
}

const none: ReadonlySet<Entry> = new Set();
