import type { Body, WaybillError } from "@waybill/core";
import type { Plan } from "./budget.ts";
import { decode, decodeFailure } from "./codec.ts";
import { expire } from "./dead-letters.ts";
import type { Grant } from "./lease.ts";
import { QueueDelivery } from "./queue-delivery.ts";
import type { QueueReceiver } from "./queue-receiver.ts";
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

/** Locks the oldest ready messages of one address for one receiver, as many as it has room for. */
export class ClaimOperation implements Operation {
  readonly weight = 1;
  readonly bytes = 0;
  readonly #receiver: QueueReceiver;
  #grant: Grant | undefined;
  #batch: QueueDelivery[] = [];
  #drained = true;

  constructor(receiver: QueueReceiver) {
    this.#receiver = receiver;
  }

  run(transaction: Transaction): void {
    this.#grant = undefined;
    this.#batch = [];
    const address = transaction.addresses.findSource(this.#receiver.source)?.id;
    const plan = this.#receiver.plan();
    const { room } = plan;
    this.#drained = room > 0;
    if (address === undefined || room <= 0) return;
    const head = transaction.sql.headReady.all(address, room) as unknown as HeadRow[];
    const last = fit(transaction, { address, head, plan });
    this.#drained = head.length < room;
    if (last !== undefined) this.#lock(transaction, address, last);
    else if (this.#receiver.registers && this.#receiver.lease.id === undefined) {
      this.#grant = this.#receiver.lease.register(transaction, address);
    }
  }

  done(): void {
    this.#receiver.claimed(this.#grant, this.#batch, this.#drained);
  }

  failed(error: WaybillError): void {
    this.#receiver.claimFailed(error);
  }

  #lock(transaction: Transaction, address: number, last: number): void {
    const { sql } = transaction;
    const grant = this.#receiver.lease.take(transaction, address);
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
      this.#batch.push(new QueueDelivery(this.#receiver, claimed, content));
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
