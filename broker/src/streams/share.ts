import type { Statements } from "../storage/statements.ts";
import type { StoredCursor } from "./reader.ts";
import type { Transaction } from "../storage/transaction.ts";

interface CursorRow extends StoredCursor {
  readonly lease: number | null;
}

export interface Share {
  /** Taken in this transaction, and where to begin. */
  readonly acquired: readonly StoredCursor[];
  /** Partitions beyond the fair share, to be given up. */
  readonly surplus: readonly number[];
  /** Partitions that were held and are not any more, though one may be among the acquired again. */
  readonly lost: readonly number[];
}

/**
 * What one member of a group should read: shares differ by one at most, and a partition moves only when it has to.
 * Every member computes it for itself, from the same rows; a free partition goes to whoever is first to take it.
 */
export function shareOf({ sql }: Transaction, { address, lease, held }: Holding): Share {
  const { cursors, quota } = positionOf(sql, address, lease);
  // One that is booked on this lease but read by nobody was meant to be given up, which failed: it is as free as any.
  const mine = cursors.filter((cursor) => cursor.lease === lease && held.has(cursor.partition));
  const free = cursors.filter(
    (cursor) => cursor.lease === null || (cursor.lease === lease && !held.has(cursor.partition)),
  );
  const acquired = free.slice(0, Math.max(0, quota - mine.length));
  for (const { partition } of acquired) sql.acquireCursor.run(lease, address, partition);
  const surplus = mine.slice(quota).map(({ partition }) => partition);
  return { acquired, surplus, lost: lostOf(cursors, lease, held) };
}

/** What one member of a group reads, as it knows. */
export interface Holding {
  /** The group's. */
  readonly address: number;
  readonly lease: number;
  readonly held: ReadonlySet<number>;
}

/** Partitions that were taken away from it since: the group was put to another place. */
export function lostBy(sql: Statements, { address, lease, held }: Holding): readonly number[] {
  return lostOf(sql.cursorsOf.all(address) as unknown as CursorRow[], lease, held);
}

function lostOf(
  cursors: readonly CursorRow[],
  lease: number,
  held: ReadonlySet<number>,
): readonly number[] {
  if (held.size === 0) return none;
  const booked = cursors.filter((cursor) => cursor.lease === lease);
  const still = new Set(booked.map(({ partition }) => partition));
  return [...held].filter((partition) => !still.has(partition));
}

const none: readonly number[] = [];

/** Whether `shareOf` would change something; only reads. */
export function isUnfair(sql: Statements, address: number, lease: number | undefined): boolean {
  if (lease === undefined) return true;
  const { cursors, quota } = positionOf(sql, address, lease);
  const mine = cursors.filter((cursor) => cursor.lease === lease).length;
  return mine > quota || (mine < quota && cursors.some((cursor) => cursor.lease === null));
}

function positionOf(
  sql: Statements,
  address: number,
  lease: number,
): { cursors: CursorRow[]; quota: number } {
  const members = (sql.membersOf.all(address) as unknown as { id: number }[]).map(({ id }) => id);
  const cursors = sql.cursorsOf.all(address) as unknown as CursorRow[];
  const place = members.indexOf(lease);
  const quota =
    place < 0
      ? 0
      : Math.floor(cursors.length / members.length) +
        (place < cursors.length % members.length ? 1 : 0);
  return { cursors, quota };
}

export interface GroupStart {
  readonly stream: string;
  /** `stream@group`. */
  readonly name: string;
  readonly start: "earliest" | "latest";
}

/** Finds the group, or begins it at one end of the stream. Undefined while the stream does not exist. */
export function joinGroup(
  transaction: Transaction,
  { stream, name, start }: GroupStart,
): number | undefined {
  const { sql, addresses } = transaction;
  const entry = addresses.stream(stream);
  if (entry === undefined) return undefined;
  const known = sql.addressByName.get("stream", name) as { id: number } | undefined;
  if (known !== undefined) return known.id;
  const { id } = sql.insertAddress.get("stream", name, null, null, null) as { id: number };
  const partitions = sql.partitionsOf.all(entry.id) as unknown as {
    id: number;
    first: number;
    next: number;
  }[];
  for (const { id: partition, first, next } of partitions) {
    const offset = start === "latest" ? next : first;
    sql.insertCursor.run(id, partition, offset, offset);
    transaction.book.countMany(id, "began", offset);
  }
  transaction.changeTopology();
  return id;
}
