import type { Body, Source, WaybillError } from "@waybill/core";
import type { Plan } from "./budget.ts";
import { decode, decodeFailure } from "./codec.ts";
import { expire } from "./dead-letters.ts";
import type { Grant, Lease } from "./lease.ts";
import { QueueDelivery, type Settler } from "./queue-delivery.ts";
import type { Transaction } from "./transaction.ts";
import type { Operation } from "./writer.ts";

type HeadRow = readonly [seq: number, bytes: number, expires: number | null, attempt: number];
type ContentRow = readonly [
  seq: number,
  attempt: number,
  bytes: number,
  expires: number | null,
  enqueuedAt: number,
  header: string,
  body: Body,
  failure: string | null,
];

/** Who claims. */
export interface Claimer extends Settler {
  readonly source: Source;
  /** Whether it counts among the receivers of its address. */
  readonly registers: boolean;
  readonly lease: Lease;
  /** Messages that may be claimed now. */
  plan(): Plan;
  /** A claim was committed. */
  claimed(grant: Grant | undefined, batch: readonly QueueDelivery[], drained: boolean): void;
  claimFailed(error: WaybillError): void;
}

/** Locks the oldest ready messages of one address for one claimer, as many as it has room for. */
export class ClaimOperation implements Operation {
  readonly weight = 1;
  readonly bytes = 0;
  readonly #claimer: Claimer;
  #grant: Grant | undefined;
  #batch: QueueDelivery[] = [];
  #drained = true;

  constructor(claimer: Claimer) {
    this.#claimer = claimer;
  }

  run(transaction: Transaction): void {
    this.#grant = undefined;
    this.#batch = [];
    const address = transaction.addresses.findSource(this.#claimer.source)?.id;
    const plan = this.#claimer.plan();
    const { room } = plan;
    this.#drained = room > 0;
    if (address === undefined || room <= 0) return;
    const head = transaction.sql.headReady.all(address, room) as unknown as HeadRow[];
    const last = fit(transaction, { address, head, plan });
    this.#drained = head.length < room;
    if (last !== undefined) this.#lock(transaction, address, last);
    else if (this.#claimer.registers && this.#claimer.lease.id === undefined) {
      this.#grant = this.#claimer.lease.register(transaction, address);
    }
  }

  done(): void {
    this.#claimer.claimed(this.#grant, this.#batch, this.#drained);
  }

  failed(error: WaybillError): void {
    this.#claimer.claimFailed(error);
  }

  #lock(transaction: Transaction, address: number, last: number): void {
    const { sql } = transaction;
    const grant = this.#claimer.lease.take(transaction, address);
    const rows = sql.lockedContents.all(address, last) as unknown as ContentRow[];
    sql.lockUpTo.run(grant.id, address, last);
    sql.deleteReadyUpTo.run(address, last);
    this.#grant = grant;
    for (const [seq, attempt, bytes, expires, enqueuedAt, header, body, failure] of rows) {
      const claimed = { seq, lease: grant.id, address, bytes, expires };
      const content = {
        envelope: decode(header, body),
        attempt,
        enqueuedAt,
        failure: decodeFailure(failure),
      };
      this.#batch.push(new QueueDelivery(this.#claimer, claimed, content));
    }
  }
}

/** The last of the head that there is room for in bytes. What has expired leaves on the way. */
function fit(
  transaction: Transaction,
  { address, head, plan }: { address: number; head: readonly HeadRow[]; plan: Plan },
): number | undefined {
  const { now, sql } = transaction;
  let last: number | undefined;
  for (const [seq, bytes, expires, attempt] of head) {
    if (expires !== null && expires <= now) {
      sql.deleteReady.run(address, seq);
      expire(transaction, { seq, address, attempt });
      continue;
    }
    if (!plan.fits(bytes)) break;
    last = seq;
  }
  return last;
}
