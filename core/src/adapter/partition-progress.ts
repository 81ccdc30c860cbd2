/** How far a group has come in a partition: what its next reader has to know. */
export interface Reached {
  /** Everything below is done. */
  readonly committed: number;
  /** Everything from here on was never delivered. */
  readonly delivered: number;
  /** Attempts made at the item at `committed`; 0 when none was, or when they were not counted one by one. */
  readonly attempt: number;
}

/** An item that was read. returned: released untouched, and waits to be delivered again. done: ended, and waits for those before it. */
export interface ProgressEntry {
  readonly offset: number;
  readonly attempt: number;
  readonly state: string;
}

/** One partition in the hands of one reader: what was read from it and not yet committed, and what that means for the next reader. */
export abstract class PartitionProgress<Entry extends ProgressEntry> {
  /** In order of offset. */
  readonly entries: Map<number, Entry> = new Map();
  /** Below this a former reader had begun and not committed: one item at a time, each attempt counted, until it is passed. */
  readonly #suspectUntil: number;
  readonly #headOffset: number;
  readonly #headAttempt: number;

  constructor({ committed, delivered, attempt }: Reached) {
    this.#suspectUntil = delivered;
    this.#headOffset = committed;
    this.#headAttempt = attempt;
  }

  /** The offset to deliver next, or the first that is still there after it. */
  abstract readonly next: number;
  /** Whether an item has ended as far as the next reader is concerned. */
  protected abstract hasEnded(entry: Entry): boolean;

  /** Whether what comes next may have been begun by a former reader. */
  get isSuspect(): boolean {
    return this.next < this.#suspectUntil;
  }

  /** Whether one more may be delivered before something ends. A suspect comes alone: it may have ended its process. */
  get mayGoOn(): boolean {
    const [first] = this.entries.values();
    return first === undefined || (first.offset >= this.#suspectUntil && !this.isSuspect);
  }

  /** Which attempt a delivery of this offset is. */
  attemptOf(offset: number): number {
    if (offset >= this.#suspectUntil) return 1;
    return offset === this.#headOffset ? Math.max(1, this.#headAttempt) + 1 : 2;
  }

  get returned(): Entry[] {
    return [...this.entries.values()].filter(({ state }) => state === "returned");
  }

  /** Drops what is committed. */
  settleDown(): void {
    for (const entry of this.entries.values()) {
      if (entry.state !== "done") return;
      this.entries.delete(entry.offset);
    }
  }

  /** What was returned untouched counts as never delivered, unless something behind it was. */
  get reached(): Reached {
    const head = this.head();
    const committed = head?.offset ?? this.next;
    const unread = committed === this.#headOffset ? this.#headAttempt : 0;
    const attempt =
      head === undefined ? unread : head.attempt - (head.state === "returned" ? 1 : 0);
    const begun = [...this.entries.values()].findLast(({ state }) => state !== "returned");
    const delivered = Math.max(
      attempt > 0 ? committed + 1 : committed,
      begun === undefined ? 0 : begun.offset + 1,
      this.isSuspect ? this.#suspectUntil : 0,
    );
    return { committed, delivered, attempt };
  }

  /** The first that has not ended. */
  protected head(): Entry | undefined {
    for (const entry of this.entries.values()) if (!this.hasEnded(entry)) return entry;
    return undefined;
  }
}
