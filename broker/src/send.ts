import { type Failure, type Outgoing, WaybillError } from "@waybill/core";
import { isDuplicate } from "./dedup.ts";
import { changed, type Encoded, encodeFailure } from "./codec.ts";
import { leave } from "./dead-letters.ts";
import { arrive } from "./sessions.ts";
import { appendItem } from "./stream-log.ts";
import { Refusal, type Transaction } from "./transaction.ts";
import type { Operation } from "./writer.ts";

/** An operation of `send`: all of the batch or nothing. */
export class SendOperation implements Operation {
  readonly weight: number;
  readonly bytes: number;
  readonly #batch: readonly Encoded[];
  readonly #limits: SendLimits;
  readonly #resolve: () => void;
  readonly #reject: (error: WaybillError) => void;

  constructor(batch: readonly Encoded[], limits: SendLimits, answer: SendAnswer) {
    this.#batch = batch;
    this.#limits = limits;
    this.#resolve = answer.resolve;
    this.#reject = answer.reject;
    this.weight = Math.max(1, batch.length);
    let bytes = 0;
    for (const message of batch) bytes += message.bytes + message.header.length;
    this.bytes = bytes;
  }

  run(transaction: Transaction): void {
    refuseUnroutable(transaction, this.#batch);
    this.#limits.refuseWhenFull();
    store(transaction, this.#batch);
  }

  done(): void {
    this.#resolve();
  }

  failed(error: WaybillError): void {
    this.#reject(error);
  }
}

export interface SendAnswer {
  readonly resolve: () => void;
  readonly reject: (error: WaybillError) => void;
}

export interface SendLimits {
  /** Throws Refusal with STORAGE_FULL when the quota is used up. */
  refuseWhenFull(): void;
}

/** Newest dead letters kept of a topic that nobody subscribes to by type. */
export const unroutedMax = 10_000;

/** Throws Refusal with UNROUTABLE naming the first destination that does not exist. Changes nothing. */
export function refuseUnroutable({ addresses }: Transaction, batch: readonly Encoded[]): void {
  for (const { outgoing } of batch) {
    const { kind, name } = outgoing.to;
    const known =
      kind === "queue"
        ? addresses.find(kind, name)
        : kind === "topic"
          ? addresses.topic(name)
          : addresses.stream(name);
    if (known !== undefined) continue;
    throw new Refusal(
      new WaybillError(
        "UNROUTABLE",
        `There is no ${kind} "${name}" on the broker, so nothing of the batch was sent. Start the service that owns it once, or declare it.`,
        { retryable: true, details: { kind, name } },
      ),
    );
  }
}

/** Stores what `refuseUnroutable` has let through; notes in the transaction what is a duplicate and what no subscription names by type. */
export function store(transaction: Transaction, batch: readonly Encoded[]): void {
  const parkedIn = new Set<number>();
  for (const message of batch) {
    const { kind, name } = message.outgoing.to;
    if (isDuplicate(transaction, message.outgoing)) passOver(transaction, message.outgoing);
    else if (kind === "queue")
      enqueue(transaction, transaction.addresses.find(kind, name)?.id ?? 0, message);
    else if (kind === "stream") appendItem(transaction, name, message);
    else {
      const topic = transaction.addresses.topic(name) ?? 0;
      const taken = publish(transaction, message);
      const { type } = message.outgoing.envelope.header;
      if (taken !== undefined)
        transaction.book.count(topic, type, taken > 0 ? "routed" : "filtered");
      else {
        park(transaction, topic, message);
        parkedIn.add(topic);
        transaction.unrouted.push(message.outgoing);
      }
    }
  }
  for (const topic of parkedIn) evictUnrouted(transaction, topic);
}

/** It is accepted and not stored. */
function passOver({ duplicates, book, addresses }: Transaction, outgoing: Outgoing): void {
  const { kind, name } = outgoing.to;
  const address = kind === "queue" ? addresses.find(kind, name)?.id : addresses.topic(name);
  book.count(address ?? 0, outgoing.envelope.header.type, "duplicates");
  duplicates.push(outgoing);
}

/** Answers how many subscriptions took it; undefined, and nothing stored, when none names the type. */
export function publish(transaction: Transaction, message: Encoded): number | undefined {
  const { header } = message.outgoing.envelope;
  const takers = transaction.addresses.takers(message.outgoing.to.name, header.type);
  let taken = 0;
  for (const taker of takers) {
    if (!taker.wants(header.attributes ?? {})) continue;
    const copy = taker.change === undefined ? message : changed(message, taker.change);
    enqueue(transaction, taker.address, copy);
    taken += 1;
  }
  return takers.length > 0 ? taken : undefined;
}

function enqueue(transaction: Transaction, address: number, message: Encoded): void {
  const { sql, now } = transaction;
  const { notBefore, notAfter } = message.outgoing;
  const expires = notAfter === undefined ? null : Math.floor(notAfter);
  transaction.book.count(address, message.outgoing.envelope.header.type, "accepted");
  const seq = transaction.takeSeq();
  sql.insertMessage.run(
    seq,
    address,
    now,
    message.outgoing.discardExpired === true ? 1 : 0,
    message.header,
    message.body,
  );
  if (notBefore !== undefined && notBefore > now) {
    const due = Math.ceil(notBefore);
    const { id } = message.outgoing.envelope.header;
    sql.insertScheduled.run(due, seq, address, 0, message.bytes, expires, id);
    transaction.willBeDue(due);
  } else {
    const { partitionkey } = message.outgoing.envelope.header;
    arrive(transaction, { address, seq, attempt: 0, bytes: message.bytes, expires }, partitionkey);
  }
  if (expires !== null) transaction.willBeDue(expires);
}

function park(transaction: Transaction, topic: number, message: Encoded): void {
  const { sql, now } = transaction;
  const { type, id } = message.outgoing.envelope.header;
  transaction.book.count(topic, type, "accepted");
  const seq = transaction.takeSeq();
  sql.insertMessage.run(seq, topic, now, 0, message.header, message.body);
  sql.insertDead.run(seq, topic, 0);
  const failure: Failure = {
    reason: "SUBSCRIBER_MISSING",
    message: `No subscription of "${message.outgoing.to.name}" names the type ${type} (${id}). Start a service that subscribes to it once, then replay this message.`,
    service: "",
    handler: "",
    attempts: 0,
    firstFailedAt: now,
    lastFailedAt: now,
  };
  sql.putFailure.run(seq, encodeFailure(failure));
}

function evictUnrouted(transaction: Transaction, topic: number): void {
  const { sql } = transaction;
  const beyond = sql.deadBeyond.get(topic, unroutedMax) as { seq: number } | undefined;
  if (beyond === undefined) return;
  const evicted = sql.deadUpTo.all(topic, beyond.seq, unroutedMax) as unknown as { seq: number }[];
  for (const { seq } of evicted) {
    leave(transaction, seq, "evicted");
    sql.deleteDead.run(seq);
    sql.deleteFailure.run(seq);
    sql.deleteMessage.run(seq);
  }
  transaction.evicted.set(topic, (transaction.evicted.get(topic) ?? 0) + evicted.length);
}
