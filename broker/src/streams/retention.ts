import type { Timer, WaybillError } from "@waybill/core";
import type { Connection } from "../storage/connection.ts";
import { offsetOf, placeOf } from "./places.ts";
import type { Statements } from "../storage/statements.ts";
import type { Transaction } from "../storage/transaction.ts";
import type { Operation } from "../storage/writer.ts";

/** How often streams are held against their bounds. */
const trimMs = 10_000;
/** Pause between two steps while there is more to remove: writers come in between. */
const stepMs = 20;
/** Items that one step removes, of all partitions together. */
export const trimItemsMax = 1_000;
/** Bytes of bodies that one step removes; one item is always let through. */
export const trimBytesMax: number = 8 * 1024 * 1024;

/** Removes the items of streams that are too old or too many, oldest first. Any process does it for all. */
export class Retention {
  readonly #connection: Connection;
  #timer: Timer | undefined;
  #closed = false;
  /** The partition that the next step begins at, so that a busy one does not keep the others from their turn. */
  #from = 0;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  start(): void {
    const { environment } = this.#connection;
    this.#wait(trimMs * (0.75 + environment.random() / 2));
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #wait(delayMs: number): void {
    if (this.#closed) return;
    this.#timer = this.#connection.environment.timers.set(() => this.#trim(), delayMs);
  }

  #trim(): void {
    if (this.#closed) return;
    const { sql, environment, writer } = this.#connection;
    if (!isDue(sql, environment.clock.now())) return this.start();
    const operation = new TrimOperation(this.#from, (next) => {
      this.#from = next ?? 0;
      if (next === undefined) this.start();
      else this.#wait(stepMs);
    });
    writer.submit(operation);
  }
}

interface BoundedRow {
  readonly id: number;
  readonly first: number;
  readonly bytes: number;
  readonly age_ms: number | null;
  readonly bytes_max: number | null;
}

interface OldestRow {
  readonly place: number;
  readonly enqueued_at: number;
  readonly bytes: number;
}

function isDue(sql: Statements, now: number): boolean {
  try {
    return bounded(sql).some((row) => surplusOf(sql, row, { now, room: one }).count > 0);
  } catch {
    // Busy at this moment: the next time will do.
    return false;
  }
}

function bounded(sql: Statements): BoundedRow[] {
  const rows = sql.boundedPartitions.all() as unknown as BoundedRow[];
  return rows.toSorted((left, right) => left.id - right.id);
}

/** What a step may still remove. */
interface Room {
  readonly items: number;
  readonly bytes: number;
  /** Nothing was removed yet: one item is let through, however large. */
  readonly whole: boolean;
}

const one: Room = { items: 1, bytes: 0, whole: true };

interface Surplus {
  readonly last: number;
  readonly bytes: number;
  readonly count: number;
  /** There may be more, for which there was no room. */
  readonly cut: boolean;
}

const none: Surplus = { last: 0, bytes: 0, count: 0, cut: false };

/** What of the oldest items is beyond the bounds, as much as there is room for. */
function surplusOf(
  sql: Statements,
  row: BoundedRow,
  { now, room }: { now: number; room: Room },
): Surplus {
  const before = row.age_ms === null ? Number.NEGATIVE_INFINITY : now - row.age_ms;
  const bytesMax = row.bytes_max ?? Number.POSITIVE_INFINITY;
  let surplus = none;
  // Read one by one: most looks end at the first.
  const items = sql.oldestItems.iterate(
    placeOf(row.id, row.first),
    placeOf(row.id + 1, 0),
    room.items,
  ) as unknown as Iterable<OldestRow>;
  for (const { place, enqueued_at: enqueuedAt, bytes } of items) {
    const gone = surplus.bytes + bytes;
    if (enqueuedAt >= before && row.bytes - surplus.bytes <= bytesMax) return surplus;
    const isFirst = room.whole && surplus.count === 0;
    if (gone > room.bytes && !isFirst) return { ...surplus, cut: true };
    const count = surplus.count + 1;
    surplus = { last: place, bytes: gone, count, cut: count === room.items };
  }
  return surplus;
}

/** Books what leaves a partition before groups have read it. */
function bookSkipped(
  { sql, book }: Transaction,
  { id, first }: Pick<BoundedRow, "id" | "first">,
  next: number,
): void {
  const cursors = sql.cursorsIn.all(id) as unknown as { address: number; committed: number }[];
  for (const { address, committed } of cursors)
    book.countMany(address, "skipped", Math.max(0, next - Math.max(committed, first)));
}

/** One step: a transaction of its own size, so that writers come in between however much there is to remove. */
class TrimOperation implements Operation {
  readonly weight = trimItemsMax;
  readonly bytes = 0;
  readonly #from: number;
  readonly #answer: (next: number | undefined) => void;
  #next: number | undefined;

  /** Begins at that partition, or the first behind it. Answers where the next step should begin; undefined when nothing is left. */
  constructor(from: number, answer: (next: number | undefined) => void) {
    this.#from = from;
    this.#answer = answer;
  }

  run(transaction: Transaction): void {
    const { sql, now } = transaction;
    this.#next = undefined;
    let room: Room = { items: trimItemsMax, bytes: trimBytesMax, whole: true };
    const rows = bounded(sql);
    const ahead = rows.filter(({ id }) => id >= this.#from);
    const behind = rows.filter(({ id }) => id < this.#from);
    for (const row of [...ahead, ...behind]) {
      const { last, bytes, count, cut } = surplusOf(sql, row, { now, room });
      if (count > 0) {
        sql.deleteItems.run(placeOf(row.id, row.first), last);
        bookSkipped(transaction, row, offsetOf(last) + 1);
        sql.trimPartition.run(offsetOf(last) + 1, bytes, row.id);
        room = { items: room.items - count, bytes: room.bytes - bytes, whole: false };
      }
      if (!cut) continue;
      // The others come before what is left of this one.
      this.#next = count > 0 ? row.id + 1 : row.id;
      return;
    }
  }

  done(): void {
    this.#answer(this.#next);
  }

  failed(_error: WaybillError): void {
    this.#answer(undefined);
  }
}
