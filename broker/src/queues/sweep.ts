import type { Timer, WaybillError } from "@waybill/core";
import { lockClockOf } from "@waybill/core/adapter";
import type { Connection } from "../storage/connection.ts";
import { forgetOver } from "./dedup.ts";
import { expire } from "../operating/dead-letters.ts";
import { removeInstance, reopenLease } from "../processes/instances.ts";
import { addressOfLine, arriveAgain, lineOf, sessionOf, wakeResting } from "./sessions.ts";
import { rowsChanged, type Transaction } from "../storage/transaction.ts";
import type { Operation } from "../storage/writer.ts";

/** Rows of each kind that one step moves. */
const stepMax = 500;
/** Bytes of bodies that one step gives a new number; one body is always let through. */
const stepBytesMax = 8 * 1024 * 1024;
/** How often a process looks for what others scheduled. */
const lookMs = 1_000;
/** Pause after a step that moved nothing though something is due. */
const stuckMs = 100;

/** Moves what time moves: due messages, ended locks, expired messages, the leavings of dead processes. Any process does it for all. */
export class Sweeper {
  readonly #connection: Connection;
  #timer: Timer | undefined;
  #timerAt = Number.POSITIVE_INFINITY;
  #sweeping = false;
  #closed = false;

  constructor(connection: Connection) {
    this.#connection = connection;
  }

  start(): void {
    this.#arm(0);
  }

  /** Something has to be moved at this moment of the wall clock. */
  dueAt(moment: number): void {
    if (moment === Number.POSITIVE_INFINITY) return;
    const { clock } = this.#connection.environment;
    const delayMs = moment - clock.now();
    if (clock.monotonic() + delayMs < this.#timerAt) this.#arm(delayMs);
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #arm(delayMs: number): void {
    if (this.#closed || this.#sweeping) return;
    this.#timer?.cancel();
    const { clock, timers, random } = pick(this.#connection);
    const delay = Math.max(0, Math.min(delayMs, lookMs * (0.75 + random / 2)));
    this.#timerAt = clock.monotonic() + delay;
    this.#timer = timers.set(() => this.#look(), delay);
  }

  #look(): void {
    this.#timer = undefined;
    this.#timerAt = Number.POSITIVE_INFINITY;
    if (this.#closed) return;
    const delayMs = this.#msToNext();
    if (delayMs > 0) return this.#arm(delayMs);
    this.#sweeping = true;
    this.#connection.writer.submit(
      new SweepOperation(
        (moved) => this.#swept(moved),
        (error) => this.#failed(error),
      ),
    );
  }

  #swept(moved: boolean): void {
    this.#sweeping = false;
    this.#arm(Math.max(moved ? 0 : stuckMs, this.#msToNext()));
  }

  #failed(error: WaybillError): void {
    this.#sweeping = false;
    this.#connection.logger.warn(
      "Due messages and ended locks could not be moved; it is tried again.",
      { code: error.code, error: error.message },
    );
    this.#arm(Number.POSITIVE_INFINITY);
  }

  /** Infinity when nothing waits for its time, 0 or less when something is due. */
  #msToNext(): number {
    const { sql, environment } = this.#connection;
    try {
      const row = sql.nextDue.get() as unknown as (number | null)[];
      const moments = row.map((moment) => moment ?? Number.POSITIVE_INFINITY);
      if (moments[7] === 0) return 0;
      return Math.min(
        Math.min(...moments.slice(0, 5)) - environment.clock.now(),
        Math.min(...moments.slice(5, 7)) - lockClockOf(environment.clock).now(),
      );
    } catch {
      return Number.POSITIVE_INFINITY;
    }
  }
}

function pick({ environment }: Connection): {
  clock: Connection["environment"]["clock"];
  timers: Connection["environment"]["timers"];
  random: number;
} {
  return { clock: environment.clock, timers: environment.timers, random: environment.random() };
}

class SweepOperation implements Operation {
  readonly weight = stepMax;
  readonly bytes = 0;
  readonly #swept: (moved: boolean) => void;
  readonly #failed: (error: WaybillError) => void;
  #moved = false;

  constructor(swept: (moved: boolean) => void, failed: (error: WaybillError) => void) {
    this.#swept = swept;
    this.#failed = failed;
  }

  run(transaction: Transaction): void {
    const before = rowsChanged(transaction.sql);
    moveDue(transaction);
    wakeResting(transaction, stepMax);
    endLeases(transaction);
    buryExpired(transaction);
    buryDeadInstances(transaction);
    emptyRemoved(transaction);
    forgetOver(transaction, stepMax);
    this.#moved = rowsChanged(transaction.sql) !== before;
  }

  done(): void {
    this.#swept(this.#moved);
  }

  failed(error: WaybillError): void {
    this.#failed(error);
  }
}

interface ScheduledRow {
  readonly due: number;
  readonly seq: number;
  readonly address: number;
  readonly attempt: number;
  readonly bytes: number;
  readonly expires: number | null;
  /** By which it is cancelled, where it waits for its first delivery. */
  readonly id: string | null;
}

function moveDue(transaction: Transaction): void {
  const { sql, now, addresses } = transaction;
  let bytes = 0;
  for (const row of sql.dueScheduled.all(now, stepMax) as unknown as ScheduledRow[]) {
    if (bytes > 0 && bytes + row.bytes > stepBytesMax) return;
    bytes += row.bytes;
    sql.deleteScheduled.run(row.due, row.seq);
    if (addresses.get(row.address) === undefined) {
      forget(transaction, row.seq);
      transaction.book.countMany(row.address, "dropped", 1);
    } else arriveAgain(transaction, { ...row, seq: placeInLine(transaction, row) });
  }
}

/**
 * What was sent for later takes its place when it falls due: behind what waits by then, however late that is noticed. A number is a place, so it
 * gets a new one. What was delivered before keeps its number, by which it is followed, and stands in front.
 */
function placeInLine(transaction: Transaction, { seq, id }: ScheduledRow): number {
  if (id === null) return seq;
  const next = transaction.takeSeq();
  transaction.sql.renumberMessage.run(next, seq);
  return next;
}

function endLeases(transaction: Transaction): void {
  const { sql, lockNow } = transaction;
  for (const lease of sql.expiredLeases.all(lockNow, stepMax) as unknown as {
    id: number;
    address: number;
  }[])
    reopenLease(transaction, lease);
}

interface ExpiredRow {
  readonly due: number;
  readonly seq: number;
  readonly address: number;
  readonly attempt: number;
}

function buryExpired(transaction: Transaction): void {
  const { sql, now } = transaction;
  for (const row of sql.expiredReady.all(now, stepMax) as unknown as ExpiredRow[]) {
    sql.deleteReady.run(row.address, row.seq);
    expire(transaction, { ...row, address: addressOfLine(transaction, row.address) });
  }
  for (const row of sql.expiredScheduled.all(now, stepMax) as unknown as ExpiredRow[]) {
    sql.deleteScheduled.run(row.due, row.seq);
    expire(transaction, row);
  }
}

function buryDeadInstances(transaction: Transaction): void {
  const { sql, lockNow } = transaction;
  for (const { id } of sql.deadInstances.all(lockNow) as unknown as { id: number }[])
    removeInstance(transaction, id, false);
}

/** A removed address is emptied step by step; it has had no receivers since it was removed. */
function emptyRemoved(transaction: Transaction): void {
  const { sql } = transaction;
  const removed = sql.removedAddress.get() as { id: number } | undefined;
  if (removed === undefined) return;
  const { id } = removed;
  const sessions = sql.sessionsIn.all(id, stepMax) as unknown as { id: number }[];
  const lines = [id, ...sessions.map((session) => lineOf(session.id))];
  const waiting = lines.flatMap((line) => emptyLine(transaction, line));
  const scheduled = sql.scheduledOf.all(id, stepMax) as unknown as { due: number; seq: number }[];
  for (const { due, seq } of scheduled) sql.deleteScheduled.run(due, seq);
  const deferred = sql.deferredIn.all(id, stepMax) as unknown as { seq: number }[];
  for (const { seq } of deferred) sql.deleteDeferred.run(seq);
  const dead = sql.deadIn.all(id, stepMax) as unknown as { seq: number }[];
  for (const { seq } of dead) sql.deleteDead.run(seq);
  const all = [...waiting, ...scheduled, ...deferred, ...dead];
  for (const { seq } of all) forget(transaction, seq);
  transaction.book.countMany(id, "dropped", all.length);
  if (all.length === 0 && sessions.length === 0) sql.deleteAddress.run(id);
}

function emptyLine({ sql }: Transaction, line: number): { seq: number }[] {
  const waiting = sql.waitingOf.all(line, stepMax) as unknown as { seq: number }[];
  for (const { seq } of waiting) sql.deleteReady.run(line, seq);
  const session = sessionOf(line);
  if (session !== undefined && waiting.length < stepMax) {
    sql.forgetAllParked.run(session);
    sql.deleteSession.run(session);
  }
  return waiting;
}

function forget({ sql }: Transaction, seq: number): void {
  sql.deleteMessage.run(seq);
  sql.deleteFailure.run(seq);
}
