import type { PartitionKey } from "./assignment.ts";
import type { Stored } from "./message.ts";
import { type Progress, writeProgress } from "./progress.ts";

/** A record that was read and is not done. */
export interface Entry {
  readonly window: Window;
  readonly offset: number;
  readonly stored: Stored;
  /** Of its body. */
  readonly bytes: number;
}

/** What is read of a partition and not done: Kafka keeps one offset, so that stays below the lowest of them. */
export class Window {
  readonly key: PartitionKey;
  /** Where to read on. */
  next: number;
  /** Nothing more is taken: it moves to another process as soon as nothing of it is in hand. */
  draining = false;
  /** Somebody else has it. */
  lost = false;
  /** Something happened that the group does not know yet. */
  dirty = false;
  /** Whether the broker is known to have nothing more. */
  isCaughtUp = false;
  /** The seek that it began after. */
  readonly seek: number;
  readonly #entries = new Map<number, Entry>();
  #waiting: Entry[] = [];
  readonly #done: Set<number>;
  readonly #deliveries: Map<number, number>;
  /** A former reader had them in hand and did not end them: one of them may have ended its process. */
  readonly #suspects: Set<number>;
  #waitingBytes = 0;
  #base: number;

  /** In order: what a former reader did not end comes alone, so that what ends a process is found without what stands around it. */
  constructor(key: PartitionKey, { base, done, deliveries, seek }: Progress, isInOrder = false) {
    this.key = key;
    this.next = base;
    this.#base = base;
    this.#done = new Set(done);
    this.#deliveries = new Map(deliveries);
    this.#suspects = new Set(isInOrder ? deliveries.keys() : []);
    this.seek = seek;
  }

  /** Read and not in hand. */
  get waiting(): number {
    return this.#waiting.length;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  /** In hand. */
  get held(): number {
    return this.#entries.size - this.#waiting.length;
  }

  get progress(): { readonly offset: number; readonly metadata: string } {
    const metadata = writeProgress({
      base: this.#base,
      done: this.#done,
      deliveries: this.#deliveries,
      seek: this.seek,
    });
    return { offset: this.#base, metadata };
  }

  /** What came when it was read on. */
  add(records: readonly Stored[], next: number): void {
    for (const stored of records) {
      const offset = Number(stored.offset);
      if (offset < this.next || this.#done.has(offset)) continue;
      const bytes = stored.value?.byteLength ?? 0;
      const entry = { window: this, offset, stored, bytes };
      this.#entries.set(offset, entry);
      this.#waiting.push(entry);
      this.#waitingBytes += bytes + headerBytes;
    }
    this.next = Math.max(this.next, next);
    this.#advance();
  }

  /** What comes next, when it may be handed over now; it stays. */
  peek(): Entry | undefined {
    const [first] = this.#waiting;
    if (first === undefined || this.#suspects.size === 0 || this.held === 0) return first;
    return this.#suspects.has(first.offset) || this.#holdsSuspect() ? undefined : first;
  }

  #holdsSuspect(): boolean {
    const waiting = new Set(this.#waiting.map(({ offset }) => offset));
    for (const offset of this.#suspects)
      if (this.#entries.has(offset) && !waiting.has(offset)) return true;
    return false;
  }

  /** Takes the next one in hand, its delivery counted. Answers how many deliveries it had before. */
  take(): number {
    const entry = this.#waiting.shift();
    if (entry === undefined) return 0;
    this.#waitingBytes -= entry.bytes + headerBytes;
    return this.count(entry);
  }

  /** It is tried again where it is. Answers how often it was tried before. */
  count({ offset }: Entry): number {
    const before = this.#deliveries.get(offset) ?? 0;
    this.#deliveries.set(offset, before + 1);
    this.dirty = true;
    return before;
  }

  /** It stays, in its place, and its last delivery was none. */
  giveBack(entry: Entry): void {
    if (this.#entries.get(entry.offset) !== entry) return;
    const before = (this.#deliveries.get(entry.offset) ?? 1) - 1;
    if (before > 0) this.#deliveries.set(entry.offset, before);
    else this.#deliveries.delete(entry.offset);
    const at = this.#waiting.findIndex(({ offset }) => offset > entry.offset);
    this.#waiting.splice(at < 0 ? this.#waiting.length : at, 0, entry);
    this.#waitingBytes += entry.bytes + headerBytes;
    this.dirty = true;
  }

  finish({ offset }: Entry): void {
    if (!this.#entries.delete(offset)) return;
    this.#done.add(offset);
    this.#deliveries.delete(offset);
    this.#advance();
    this.dirty = true;
  }

  /** What lay there is gone: retention or a purge took it. */
  skipTo(offset: number): void {
    for (const entry of this.#waiting) if (entry.offset < offset) this.finish(entry);
    this.#waiting = this.#waiting.filter((entry) => entry.offset >= offset);
    this.#waitingBytes = this.#waiting.reduce((sum, { bytes }) => sum + bytes + headerBytes, 0);
    this.next = offset;
    this.isCaughtUp = false;
    this.#advance();
    this.dirty = true;
  }

  #advance(): void {
    const [lowest = this.next] = this.#entries.keys();
    if (lowest <= this.#base) return;
    forget(this.#done, this.#base, lowest);
    forget(this.#deliveries, this.#base, lowest);
    forget(this.#suspects, this.#base, lowest);
    this.#base = lowest;
    this.dirty = true;
  }
}

/** Costs no more than the smaller of the two: what is remembered, and the distance. */
function forget(offsets: Set<number> | Map<number, number>, from: number, to: number): void {
  if (offsets.size > to - from)
    for (let offset = from; offset < to; offset++) offsets.delete(offset);
  else for (const offset of offsets.keys()) if (offset < to) offsets.delete(offset);
}

/** What a record costs beside its body, roughly. */
const headerBytes = 512;
