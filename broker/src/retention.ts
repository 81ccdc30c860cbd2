import type { Timer, WaybillError } from "@waybill/core";
import type { Connection } from "./connection.ts";
import { offsetOf, placeOf } from "./places.ts";
import type { Statements } from "./statements.ts";
import type { Transaction } from "./transaction.ts";
import type { Operation } from "./writer.ts";

/** How often streams are held against their bounds. */
const trimMs = 10_000;
/** Pause between two steps while there is more to remove: writers come in between. */
const stepMs = 20;
/** Items of one partition that one step removes. */
const stepMax = 500;

/** Removes the items of streams that are too old or too many, oldest first. Any process does it for all. */
export class Retention {
  readonly #connection: Connection;
  #timer: Timer | undefined;
  #closed = false;

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
    writer.submit(new TrimOperation((hasMore) => (hasMore ? this.#wait(stepMs) : this.start())));
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
    return bounded(sql).some((row) => surplusOf(sql, row, { now, limit: 1 }) !== undefined);
  } catch {
    // Busy at this moment: the next time will do.
    return false;
  }
}

function bounded(sql: Statements): BoundedRow[] {
  return sql.boundedPartitions.all() as unknown as BoundedRow[];
}

interface Surplus {
  readonly last: number;
  readonly bytes: number;
  readonly count: number;
}

/** What of the oldest items is beyond the bounds; undefined when nothing is. */
function surplusOf(
  sql: Statements,
  row: BoundedRow,
  { now, limit }: { now: number; limit: number },
): Surplus | undefined {
  const before = row.age_ms === null ? Number.NEGATIVE_INFINITY : now - row.age_ms;
  const bytesMax = row.bytes_max ?? Number.POSITIVE_INFINITY;
  let surplus: Surplus | undefined;
  const items = sql.oldestItems.all(
    placeOf(row.id, row.first),
    placeOf(row.id + 1, 0),
    limit,
  ) as unknown as OldestRow[];
  for (const { place, enqueued_at: enqueuedAt, bytes } of items) {
    const gone = surplus?.bytes ?? 0;
    if (enqueuedAt >= before && row.bytes - gone <= bytesMax) break;
    surplus = { last: place, bytes: gone + bytes, count: (surplus?.count ?? 0) + 1 };
  }
  return surplus;
}

/** Books what leaves a partition before groups have read it. */
export function bookSkipped(
  { sql, book }: Transaction,
  { id, first }: Pick<BoundedRow, "id" | "first">,
  next: number,
): void {
  const cursors = sql.cursorsIn.all(id) as unknown as { address: number; committed: number }[];
  for (const { address, committed } of cursors)
    book.countMany(address, "skipped", Math.max(0, next - Math.max(committed, first)));
}

class TrimOperation implements Operation {
  readonly weight = stepMax;
  readonly bytes = 0;
  readonly #answer: (hasMore: boolean) => void;
  #hasMore = false;

  constructor(answer: (hasMore: boolean) => void) {
    this.#answer = answer;
  }

  run(transaction: Transaction): void {
    const { sql, now } = transaction;
    this.#hasMore = false;
    let left = 2 * stepMax;
    for (const row of bounded(sql)) {
      if (left <= 0) {
        this.#hasMore = true;
        return;
      }
      const surplus = surplusOf(sql, row, { now, limit: stepMax });
      if (surplus === undefined) continue;
      sql.deleteItems.run(placeOf(row.id, row.first), surplus.last);
      bookSkipped(transaction, row, offsetOf(surplus.last) + 1);
      sql.trimPartition.run(offsetOf(surplus.last) + 1, surplus.bytes, row.id);
      left -= surplus.count;
      if (surplus.count === stepMax) this.#hasMore = true;
    }
  }

  done(): void {
    this.#answer(this.#hasMore);
  }

  failed(_error: WaybillError): void {
    this.#answer(false);
  }
}
