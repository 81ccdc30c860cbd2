import type { Body, Position, Source, WaybillError } from "@waybill/core";
import type { Plan } from "./budget.ts";
import { decode, decodeFailure } from "./codec.ts";
import { expire } from "./dead-letters.ts";
import type { Grant, Lease } from "./lease.ts";
import { offsetOf, partitionOf } from "./places.ts";
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
  place: number | null,
  failure: string | null,
];

/** What one transaction locked for a receiver. */
export interface Claim {
  readonly grant: Grant | undefined;
  readonly batch: readonly QueueDelivery[];
  /** Nothing else was ready. */
  readonly drained: boolean;
  /** What is next in line is larger than the room that is left. */
  readonly blocked: boolean;
}

const nothing: Claim = { grant: undefined, batch: [], drained: true, blocked: false };

/** Who claims. */
export interface Claimer extends Settler {
  readonly source: Source;
  /** Whether it counts among the receivers of its address. */
  readonly registers: boolean;
  readonly lease: Lease;
  /** Messages that may be claimed now. */
  plan(): Plan;
  /** A claim was committed. */
  claimed(claim: Claim): void;
  claimFailed(error: WaybillError): void;
}

/** Locks the oldest ready messages of one address for one claimer, as many as it has room for. */
export class ClaimOperation implements Operation {
  readonly weight = 1;
  readonly bytes = 0;
  readonly #claimer: Claimer;
  #claim: Claim = nothing;

  constructor(claimer: Claimer) {
    this.#claimer = claimer;
  }

  run(transaction: Transaction): void {
    const address = transaction.addresses.findSource(this.#claimer.source)?.id;
    const plan = this.#claimer.plan();
    const { room } = plan;
    this.#claim = { ...nothing, drained: room > 0 };
    if (address === undefined || room <= 0) return;
    const head = transaction.sql.headReady.all(address, room) as unknown as HeadRow[];
    const { last, blocked } = fit(transaction, { address, head, plan });
    const rest = { drained: head.length < room && !blocked, blocked };
    if (last !== undefined) this.#claim = { ...rest, ...this.#lock(transaction, address, last) };
    else if (this.#claimer.registers && this.#claimer.lease.id === undefined) {
      this.#claim = {
        ...rest,
        batch: [],
        grant: this.#claimer.lease.register(transaction, address),
      };
    } else this.#claim = { ...nothing, ...rest };
  }

  done(): void {
    this.#claimer.claimed(this.#claim);
  }

  failed(error: WaybillError): void {
    this.#claimer.claimFailed(error);
  }

  #lock(transaction: Transaction, address: number, last: number): Pick<Claim, "grant" | "batch"> {
    const { sql } = transaction;
    const grant = this.#claimer.lease.take(transaction, address);
    const rows = sql.lockedContents.all(address, last) as unknown as ContentRow[];
    sql.lockUpTo.run(grant.id, address, last);
    sql.deleteReadyUpTo.run(address, last);
    const batch: QueueDelivery[] = [];
    for (const [seq, attempt, bytes, expires, enqueuedAt, header, body, place, failure] of rows) {
      const claimed = { seq, lease: grant.id, address, bytes, expires };
      const content = {
        envelope: decode(header, body),
        attempt,
        enqueuedAt,
        failure: decodeFailure(failure),
        position: place === null ? undefined : positionOf(transaction, this.#claimer.source, place),
      };
      batch.push(new QueueDelivery(this.#claimer, claimed, content));
    }
    return { grant, batch };
  }
}

/** The last of the head that there is room for in bytes. What has expired leaves on the way. */
function fit(
  transaction: Transaction,
  { address, head, plan }: { address: number; head: readonly HeadRow[]; plan: Plan },
): { last: number | undefined; blocked: boolean } {
  const { now, sql } = transaction;
  let last: number | undefined;
  for (const [seq, bytes, expires, attempt] of head) {
    if (expires !== null && expires <= now) {
      sql.deleteReady.run(address, seq);
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
