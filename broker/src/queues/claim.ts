import type { Body, Position, Source, WaybillError } from "@waybill/core";
import { type Address, delivers } from "../addresses.ts";
import type { Plan } from "../storage/budget.ts";
import { decode, decodeFailure } from "../storage/codec.ts";
import { expire } from "../operating/dead-letters.ts";
import type { Grant, Lease } from "./lease.ts";
import { offsetOf, partitionOf } from "../streams/places.ts";
import { QueueDelivery, type Settler } from "./delivery.ts";
import type { QueueHand } from "./hand.ts";
import { lineOf, release } from "./sessions.ts";
import type { Transaction } from "../storage/transaction.ts";
import type { Operation } from "../storage/writer.ts";

type HeadRow = readonly [seq: number, bytes: number, expires: number | null, attempt: number];
type ContentRow = readonly [
  seq: number,
  attempt: number,
  bytes: number,
  expires: number | null,
  enqueuedAt: number,
  header: string,
  body: Body,
  place: number | null,
  failure: string | null,
];

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
  /** Whether it counts among the receivers of its address. */
  readonly registers: boolean;
  readonly lease: Lease;
  /** Messages that may be claimed now. */
  plan(): Plan;
  readonly hand: QueueHand;
  /** A claim was committed. */
  claimed(claim: Claim): void;
  claimFailed(error: WaybillError): void;
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

/** Locks the oldest ready messages of one address for one claimer, and the next available sessions, as many as it has room for. */
export class ClaimOperation implements Operation {
  readonly weight = 1;
  readonly bytes = 0;
  readonly #claimer: Claimer;
  #grant: Grant | undefined;
  #batch: QueueDelivery[] = [];
  #drained = true;
  #blocked = false;

  constructor(claimer: Claimer) {
    this.#claimer = claimer;
  }

  run(transaction: Transaction): void {
    this.#grant = undefined;
    this.#batch = [];
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
    this.#claimer.claimed({
      grant: this.#grant,
      batch: this.#batch,
      drained: this.#drained,
      blocked: this.#blocked,
    });
  }

  failed(error: WaybillError): void {
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
      const before = this.#batch.length;
      this.#claimLine(transaction, { line: lineOf(id), address, plan, limit, session: name });
      if (this.#batch.length > before) sql.holdSession.run(this.#grant?.id ?? 0, id);
      else if (sql.anyReady.get(lineOf(id)) === undefined) release(transaction, id);
      else return this.#leave();
    }
  }

  #claimLine(transaction: Transaction, look: Look): void {
    const { line, limit, session } = look;
    if (limit <= 0) return this.#leave();
    const head = transaction.sql.headReady.all(line, limit) as unknown as HeadRow[];
    const { last, blocked } = fit(transaction, head, look);
    if (last !== undefined) this.#lock(transaction, look, last);
    this.#blocked ||= blocked;
    // What is left of a session comes after the other sessions.
    if (blocked || (session === undefined && head.length === limit)) this.#leave();
  }

  #lock(transaction: Transaction, { line, address, session }: Look, last: number): void {
    const { sql } = transaction;
    const grant = this.#grant ?? this.#claimer.lease.take(transaction, address);
    const rows = sql.lockedContents.all(line, last) as unknown as ContentRow[];
    sql.lockUpTo.run(grant.id, line, last);
    sql.deleteReadyUpTo.run(line, last);
    this.#grant = grant;
    transaction.claimed += rows.length;
    for (const [seq, attempt, bytes, expires, enqueuedAt, header, body, place, failure] of rows) {
      const claimed = { seq, lease: grant.id, address, line, bytes, expires };
      const content = {
        envelope: decode(header, body),
        attempt,
        enqueuedAt,
        failure: decodeFailure(failure),
        position: place === null ? undefined : positionOf(transaction, this.#claimer.source, place),
        session,
      };
      this.#batch.push(new QueueDelivery(this.#claimer, claimed, content));
    }
  }
}

/** The last of the head that there is room for in bytes. What has expired leaves on the way. */
function fit(
  transaction: Transaction,
  head: readonly HeadRow[],
  { line, address, plan }: Look,
): { readonly last: number | undefined; readonly blocked: boolean } {
  const { now, sql } = transaction;
  let last: number | undefined;
  for (const [seq, bytes, expires, attempt] of head) {
    if (expires !== null && expires <= now) {
      sql.deleteReady.run(line, seq);
      expire(transaction, { seq, address, attempt });
      continue;
    }
    if (!plan.fits(bytes)) return { last, blocked: true };
    last = seq;
  }
  return { last, blocked: false };
}

function positionOf({ addresses }: Transaction, source: Source, place: number): Position {
  const partitions = addresses.stream(source.name)?.partitions ?? [];
  return { partition: partitions.indexOf(partitionOf(place)), offset: offsetOf(place) };
}

interface SessionRow {
  readonly id: number;
  readonly name: string;
}
