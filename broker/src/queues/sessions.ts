import type { Place } from "../operating/dead-letters.ts";
import type { Transaction } from "../storage/transaction.ts";

/**
 * A session's messages stand in `ready` and `locked` under a line of their own, the session's number with a minus, so that
 * what is asked of an address can be asked of a session. Sessions that may be claimed stand in the order of `turn`.
 */
export function lineOf(session: number): number {
  return -session;
}

/** The session of a line; undefined for an address. */
export function sessionOf(line: number): number | undefined {
  return line < 0 ? -line : undefined;
}

interface SessionRow {
  readonly id: number;
  readonly address: number;
  readonly turn: number | null;
  readonly lease: number | null;
  readonly parked: number | null;
  readonly due: number | null;
}

/** What comes to wait somewhere. */
export interface Arrival extends Place {
  readonly bytes: number;
  readonly expires: number | null;
}

/** Makes a message ready at its address, in the session of its key where the address keeps sessions. */
export function arrive(transaction: Transaction, arrival: Arrival, key?: string): void {
  const { sql, addresses } = transaction;
  const { address, seq, attempt, bytes, expires } = arrival;
  if (key === undefined || addresses.get(address)?.keepsSessions !== true) {
    sql.insertReady.run(address, seq, attempt, bytes, expires);
    transaction.madeReady.add(address);
    return;
  }
  const known = sql.sessionByName.get(address, key) as SessionRow | undefined;
  const id = known?.id ?? (sql.insertSession.get(address, key) as { id: number }).id;
  sql.insertReady.run(lineOf(id), seq, attempt, bytes, expires);
  offer(transaction, known ?? { id, address, turn: null, lease: null, parked: null, due: null });
}

/** Where a message waits that was stored before: in the line of its session, else at its address. */
export function storedLine({ sql, addresses }: Transaction, address: number, seq: number): number {
  if (addresses.get(address)?.keepsSessions !== true) return address;
  const row = sql.keyOf.get(seq) as { key: string | null } | undefined;
  const session = sql.sessionByName.get(address, row?.key ?? null) as SessionRow | undefined;
  return session === undefined ? address : lineOf(session.id);
}

/** As `arrive`, for a message that was stored before: its key stands in its header. */
export function arriveAgain(transaction: Transaction, arrival: Arrival): void {
  const { sql, addresses } = transaction;
  if (addresses.get(arrival.address)?.keepsSessions !== true) return arrive(transaction, arrival);
  const { key } = sql.keyOf.get(arrival.seq) as { key: string | null };
  arrive(transaction, arrival, key ?? undefined);
}

/** Puts what one receiver holds of a session behind a message back to its place: nothing may overtake that message. */
export function holdBack(
  { sql }: Transaction,
  behind: { readonly lease: number; readonly line: number; readonly seq: number },
  uncount: boolean,
): void {
  const { lease, line, seq } = behind;
  if (sql.reopenBehind.run(uncount ? 1 : 0, lease, line, seq).changes !== 0)
    sql.unlockBehind.run(lease, line, seq);
}

/** The session is not to be claimed before that moment, nor before an earlier rest has ended. */
export function rest(transaction: Transaction, session: number, due: number): void {
  transaction.sql.restSession.run(due, session);
  transaction.willBeDue(due);
}

/** A message of the session is not held any more. After the last the session goes behind the others that wait. */
export function settleDown(transaction: Transaction, session: number): void {
  const { sql } = transaction;
  if (sql.anyHeldOfSession.get(lineOf(session)) === undefined) release(transaction, session);
}

/** Nobody holds the session any more. */
export function release(transaction: Transaction, session: number): void {
  transaction.sql.freeSession.run(session);
  reconsider(transaction, session);
}

/** What kept the session from being claimed has changed: lets it be claimed, or go when it is empty and keeps nothing. */
function reconsider(transaction: Transaction, session: number): void {
  const { sql } = transaction;
  if (sql.anyReady.get(lineOf(session)) === undefined) sql.deleteIdleSession.run(session);
  else offer(transaction, sql.sessionById.get(session) as unknown as SessionRow);
}

/** Sessions whose head waited for its next attempt. */
export function wakeResting(transaction: Transaction, limit: number): void {
  const { sql, now } = transaction;
  for (const { id } of sql.dueSessions.all(now, limit) as unknown as { id: number }[]) {
    sql.wakeSession.run(id);
    reconsider(transaction, id);
  }
}

/** The session waits for this dead letter, and for others that it waits for already. */
export function park({ sql }: Transaction, session: number, seq: number): void {
  sql.noteParked.run(seq, session);
  sql.parkSession.run(seq, session);
}

/** A dead letter was replayed or discarded: a session that waited for it goes on, unless it waits for another one. */
export function unpark(transaction: Transaction, seq: number): void {
  const parked = transaction.sql.forgetParked.get(seq) as { id: number } | undefined;
  if (parked === undefined) return;
  transaction.sql.unparkSession.run(parked.id);
  reconsider(transaction, parked.id);
}

/** The address that a line belongs to. */
export function addressOfLine({ sql }: Pick<Transaction, "sql">, line: number): number {
  const session = sessionOf(line);
  if (session === undefined) return line;
  const row = sql.sessionById.get(session) as SessionRow | undefined;
  return row?.address ?? 0;
}

/** Lets the session be claimed, as soon as it may. */
function offer(transaction: Transaction, session: SessionRow): void {
  const { id, address, turn, lease, parked, due } = session;
  if (turn !== null || lease !== null || parked !== null || due !== null) return;
  transaction.sql.queueSession.run(transaction.takeSeq(), id);
  transaction.madeReady.add(address);
}
