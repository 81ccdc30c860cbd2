import {
  type Failure,
  forwardFailure,
  forwardHopsMax,
  type ForwardTarget,
  type Outgoing,
} from "@waybill/core";
import { brokerFailure } from "@waybill/core/adapter";
import type { Address } from "../addresses.ts";
import { changed, type Encoded, encodeFailure } from "../storage/codec.ts";
import { bury, leave } from "../operating/dead-letters.ts";
import { isDuplicate } from "./dedup.ts";
import { arrive } from "./sessions.ts";
import type { Transaction } from "../storage/transaction.ts";

/** Newest dead letters kept of a topic that nobody subscribes to by type. */
export const unroutedMax = 10_000;

/** Stores a message at the queue or topic it is for, which exists, or where that forwards. `evictUnrouted` has to follow. */
export function route(transaction: Transaction, message: Encoded): void {
  const { addresses, book, unrouted, parkedIn } = transaction;
  const { outgoing } = message;
  const { kind, name } = outgoing.to;
  if (isDuplicate(transaction, outgoing)) return passOver(transaction, outgoing);
  if (kind === "queue") {
    const queue = addresses.find(kind, name);
    return queue === undefined ? undefined : enqueue(transaction, queue, message);
  }
  const topic = addresses.topic(name) ?? 0;
  const taken = publish(transaction, message);
  const { type } = outgoing.envelope.header;
  if (taken !== undefined) return book.count(topic, type, taken > 0 ? "routed" : "filtered");
  park(transaction, topic, message);
  parkedIn.add(topic);
  unrouted.push(outgoing);
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

function enqueue(transaction: Transaction, at: Address, message: Encoded): void {
  const { outgoing } = message;
  const { type } = outgoing.envelope.header;
  transaction.book.count(at.id, type, "accepted");
  const isLater = outgoing.notBefore !== undefined && outgoing.notBefore > transaction.now;
  if (at.forwardsTo === undefined || isLater || stays(transaction, at, outgoing))
    return keep(transaction, at.id, message);
  const failure = goOn(transaction, { at, to: at.forwardsTo }, message);
  if (failure === undefined) return transaction.book.count(at.id, type, "forwarded");
  const place = { seq: insert(transaction, at.id, message), address: at.id, attempt: 0 };
  bury(transaction, place, failure);
}

/** Whether a forwarding address keeps it for now: it is paused, or others wait in front, which go on first. */
function stays({ sql }: Transaction, at: Address, { envelope }: Outgoing): boolean {
  if (at.paused !== undefined) return true;
  const { partitionkey: key } = envelope.header;
  const waits =
    key !== undefined && at.keepsSessions
      ? sql.sessionByName.get(at.id, key)
      : sql.anyReady.get(at.id);
  return waits !== undefined;
}

export interface Hop {
  readonly at: Address;
  readonly to: ForwardTarget;
}

/** Brings a message to where its address forwards. Answers why it cannot, and then nothing is stored. */
export function goOn(
  transaction: Transaction,
  { at, to }: Hop,
  message: Encoded,
): Failure | undefined {
  const { addresses, now } = transaction;
  const { hops = 0 } = message;
  const target = to.kind === "queue" ? addresses.find("queue", to.name) : addresses.topic(to.name);
  if (hops === forwardHopsMax || target === undefined)
    return forwardFailure(at.name, to, { hops, now });
  const outgoing = { ...message.outgoing, to };
  route(transaction, { ...message, outgoing, hops: hops + 1 });
  return undefined;
}

function keep(transaction: Transaction, address: number, message: Encoded): void {
  const { sql, now } = transaction;
  const { notBefore, notAfter, envelope } = message.outgoing;
  const expires = notAfter === undefined ? null : Math.floor(notAfter);
  const seq = insert(transaction, address, message);
  const { id, partitionkey } = envelope.header;
  if (notBefore !== undefined && notBefore > now) {
    const due = Math.ceil(notBefore);
    sql.insertScheduled.run(due, seq, address, 0, message.bytes, expires, id);
    transaction.willBeDue(due);
  } else
    arrive(transaction, { address, seq, attempt: 0, bytes: message.bytes, expires }, partitionkey);
  if (expires !== null) transaction.willBeDue(expires);
}

function insert(transaction: Transaction, address: number, message: Encoded): number {
  const { sql, now } = transaction;
  const { outgoing, header, body, enqueuedAt = now } = message;
  const discards = outgoing.discardExpired === true ? 1 : 0;
  const seq = transaction.takeSeq();
  sql.insertMessage.run(seq, address, enqueuedAt, discards, header, body);
  return seq;
}

function park(transaction: Transaction, topic: number, message: Encoded): void {
  const { sql, now } = transaction;
  const { type, id } = message.outgoing.envelope.header;
  transaction.book.count(topic, type, "accepted");
  const seq = insert(transaction, topic, message);
  sql.insertDead.run(seq, topic, 0);
  const words = `No subscription of "${message.outgoing.to.name}" names the type ${type} (${id}). Start a service that subscribes to it once, then replay this message.`;
  const failure = brokerFailure("SUBSCRIBER_MISSING", words, { now, attempts: 0 });
  sql.putFailure.run(seq, encodeFailure(failure));
}

/** Makes room at the topics to which something came that nobody takes. */
export function evictUnrouted(transaction: Transaction): void {
  for (const topic of transaction.parkedIn) evict(transaction, topic);
  transaction.parkedIn.clear();
}

function evict(transaction: Transaction, topic: number): void {
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
