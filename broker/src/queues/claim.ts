import type { Source, WaybillError } from "@waybill/core";
import { type Address, delivers } from "../addresses.ts";
import type { Plan } from "../storage/budget.ts";
import { expire } from "../operating/dead-letters.ts";
import { type LockedLine, type LockedRow, readContents } from "./contents.ts";
import type { Grant, Lease } from "./lease.ts";
import type { QueueDelivery, Settler } from "./delivery.ts";
import type { QueueHand } from "./hand.ts";
import { lineOf, release } from "./sessions.ts";
import type { Connection } from "../storage/connection.ts";
import { storageError } from "../errors.ts";
import type { Transaction } from "../storage/transaction.ts";
import type { Operation } from "../storage/writer.ts";

/** What one transaction locked for a receiver. */
export interface Claim {
  readonly grant: Grant | undefined;
  readonly batch: readonly QueueDelivery[];
  /** Nothing else was ready, or it is of a session for which there is no room. */
  readonly drained: boolean;
  /** What is next in line is larger than the room that is left. */
  readonly blocked: boolean;
}

/** Who claims. */
export interface Claimer extends Settler {
  readonly source: Source;
  readonly connection: Pick<Connection, "file" | "sql" | "addresses">;
  /** Whether it counts among the receivers of its address. */
  readonly registers: boolean;
  readonly lease: Lease;
  /** Messages that may be claimed now. */
  plan(): Plan;
  readonly hand: QueueHand;
  /** A claim was committed. */
  claimed(claim: Claim): void;
  /** Nothing was locked. */
  claimFailed(error: WaybillError): void;
  /** What was locked cannot be read; it has to go back. */
  unreadable(error: WaybillError, locked: Locked): void;
}

/** What a committed claim holds, by line. */
export interface Locked {
  readonly grant: Grant;
  readonly lines: readonly LockedLine[];
}

/** Which messages of which line a claim looks at. */
interface Look {
  /** The address, or a session's line in it. */
  readonly line: number;
  readonly address: number;
  readonly plan: Plan;
  readonly limit: number;
  /** Name of the session. */
  readonly session?: string;
}

/**
 * Locks the oldest ready messages of one address for one claimer, and the next available sessions, as many as it has room for. What
 * they say is read after the COMMIT: reading costs more than locking, and nobody else can write meanwhile.
 */
export class ClaimOperation implements Operation {
  readonly weight = 1;
  readonly bytes = 0;
  readonly #claimer: Claimer;
  #grant: Grant | undefined;
  #lines: LockedLine[] = [];
  #drained = true;
  #blocked = false;

  constructor(claimer: Claimer) {
    this.#claimer = claimer;
  }

  run(transaction: Transaction): void {
    this.#grant = undefined;
    this.#lines = [];
    const address = transaction.addresses.findSource(this.#claimer.source);
    const plan = this.#claimer.plan();
    this.#drained = plan.room > 0;
    this.#blocked = false;
    if (address === undefined || plan.room <= 0) return;
    if (delivers(address)) this.#claimFrom(transaction, address, plan);
    if (this.#grant === undefined && this.#claimer.registers)
      this.#register(transaction, address.id);
  }

  #claimFrom(transaction: Transaction, { id, keepsSessions }: Address, plan: Plan): void {
    const line = { line: id, address: id, plan };
    const sessionsFirst = keepsSessions && this.#claimer.hand.takeTurn();
    if (sessionsFirst) this.#claimSessions(transaction, id, plan);
    this.#claimLine(transaction, { ...line, limit: plan.room });
    if (keepsSessions && !sessionsFirst) this.#claimSessions(transaction, id, plan);
  }

  done(): void {
    const grant = this.#grant;
    const drained = this.#drained;
    const blocked = this.#blocked;
    if (grant === undefined || this.#lines.length === 0)
      return this.#claimer.claimed({ grant, batch: [], drained, blocked });
    const locked = { grant, lines: this.#lines };
    let batch: readonly QueueDelivery[];
    try {
      batch = readContents(this.#claimer, locked);
    } catch (error) {
      return this.#claimer.unreadable(storageError(error, this.#claimer.connection.file), locked);
    }
    this.#claimer.claimed({ grant, batch, drained, blocked });
  }

  failed(error: WaybillError, fate?: "unsynced"): void {
    if (fate === "unsynced") this.#claimer.lease.giveUp();
    this.#claimer.claimFailed(error);
  }

  #register(transaction: Transaction, address: number): void {
    const { lease } = this.#claimer;
    if (lease.id === undefined) this.#grant = lease.register(transaction, address);
  }

  /** Something may be left. */
  #leave(): void {
    this.#drained = false;
  }

  #claimSessions(transaction: Transaction, address: number, plan: Plan): void {
    const { sql } = transaction;
    const { sessionRoom, perSession } = this.#claimer.hand;
    // A session that is settled makes room for another one and asks again.
    if (sessionRoom === 0) return;
    if (plan.room <= 0) return this.#leave();
    const asked = Math.min(sessionRoom, plan.room);
    const available = sql.availableSessions.all(address, asked) as unknown as SessionRow[];
    if (available.length === asked) this.#leave();
    for (const { id, name } of available) {
      if (plan.room <= 0) return this.#leave();
      const limit = Math.min(perSession, plan.room);
      const before = this.#lines.length;
      this.#claimLine(transaction, { line: lineOf(id), address, plan, limit, session: name });
      if (this.#lines.length > before) sql.holdSession.run(this.#grant?.id ?? 0, id);
      else if (sql.anyReady.get(lineOf(id)) === undefined) release(transaction, id);
      else return this.#leave();
    }
  }

  #claimLine(transaction: Transaction, look: Look): void {
    const { line, limit, session } = look;
    if (limit <= 0) return this.#leave();
    const head = transaction.sql.headReady.all(line, limit) as unknown as LockedRow[];
    const { rows, blocked } = fit(transaction, head, look);
    if (rows.length > 0) this.#lock(transaction, look, rows);
    this.#blocked ||= blocked;
    // What is left of a session comes after the other sessions.
    if (blocked || (session === undefined && head.length === limit)) this.#leave();
  }

  #lock(transaction: Transaction, look: Look, rows: readonly LockedRow[]): void {
    const { sql } = transaction;
    const { line, address, session } = look;
    const last = rows.at(-1)?.[0] ?? 0;
    const grant = this.#grant ?? this.#claimer.lease.take(transaction, address);
    sql.lockUpTo.run(grant.id, line, last);
    sql.deleteReadyUpTo.run(line, last);
    this.#grant = grant;
    transaction.claimed += rows.length;
    this.#lines.push({ line, address, session, rows });
  }
}

/** Of the head, what there is room for in bytes. What has expired leaves on the way. */
function fit(
  transaction: Transaction,
  head: readonly LockedRow[],
  { line, address, plan }: Look,
): { readonly rows: readonly LockedRow[]; readonly blocked: boolean } {
  const { now, sql } = transaction;
  const rows: LockedRow[] = [];
  for (const row of head) {
    const [seq, bytes, expires, attempt] = row;
    if (expires !== null && expires <= now) {
      sql.deleteReady.run(line, seq);
      expire(transaction, { seq, address, attempt });
      continue;
    }
    if (!plan.fits(bytes)) return { rows, blocked: true };
    rows.push(row);
  }
  return { rows, blocked: false };
}

interface SessionRow {
  readonly id: number;
  readonly name: string;
}
