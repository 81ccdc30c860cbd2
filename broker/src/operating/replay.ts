import type { Body, Resumed, WaybillError } from "@waybill/core";
import { evictUnrouted, publish } from "../queues/arrivals.ts";
import { decode, type Encoded } from "../storage/codec.ts";
import { expiryLifted, hand, leave } from "./dead-letters.ts";
import { remove } from "./discard.ts";
import { arriveAgain, unpark } from "../queues/sessions.ts";
import type { Transaction } from "../storage/transaction.ts";
import { type AsideRow, seqOf, whereaboutsOf } from "./whereabouts.ts";
import type { Operation } from "../storage/writer.ts";

export interface Answer {
  resolve(count: number): void;
  reject(error: WaybillError): void;
}

export abstract class AsideOperation implements Operation {
  readonly weight: number;
  readonly bytes = 0;
  readonly #handles: readonly string[];
  readonly #answer: Answer;
  #count = 0;

  constructor(handles: readonly string[], answer: Answer) {
    this.weight = Math.max(1, handles.length);
    this.#handles = handles;
    this.#answer = answer;
  }

  run(transaction: Transaction): void {
    this.#count = 0;
    for (const handle of this.#handles) {
      const seq = seqOf(handle);
      const address = comeHome(transaction, seq);
      if (address !== undefined && this.move(transaction, seq, address)) this.#count += 1;
    }
    evictUnrouted(transaction);
  }

  done(): void {
    this.#answer.resolve(this.#count);
  }

  failed(error: WaybillError): void {
    this.#answer.reject(error);
  }

  /** False when it stays. */
  protected abstract move(transaction: Transaction, seq: number, address: number): boolean;
}

/** Puts what was set aside back where it came from; a topic's own dead letter is published again, if somebody takes it now. */
export class ReplayOperation extends AsideOperation {
  protected override move(transaction: Transaction, seq: number, address: number): boolean {
    const { sql, addresses } = transaction;
    const home = addresses.get(address);
    if (home === undefined) return false;
    if (home.kind === "topic") return publishAgain(transaction, seq, home.name.slice(0, -1));
    takeOut(transaction, seq);
    const { bytes } = sql.bytesOf.get(seq) as { bytes: number };
    arriveAgain(transaction, { address, seq, attempt: 0, bytes, expires: expiryLifted });
    unpark(transaction, seq);
    return true;
  }
}

export interface ResumeAnswer {
  resolve(resumed: Resumed): void;
  reject(error: WaybillError): void;
}

/** Gives a deferred message back to its receivers, as the attempt that deferred it; its number is its place. */
export class ResumeDeferredOperation implements Operation {
  readonly weight = 1;
  readonly bytes = 0;
  readonly #seq: number;
  readonly #answer: ResumeAnswer;
  #resumed: Resumed = "gone";

  constructor(handle: string, answer: ResumeAnswer) {
    this.#seq = seqOf(handle);
    this.#answer = answer;
  }

  run(transaction: Transaction): void {
    const { sql, addresses } = transaction;
    const seq = this.#seq;
    const where = whereaboutsOf(sql, seq);
    this.#resumed = where === "deferred" ? "gone" : where;
    if (where !== "deferred") return;
    const { address, attempt } = sql.deferredOf.get(seq) as unknown as AsideRow;
    // What is left of a queue that ended is on its way out.
    if (addresses.get(address) === undefined) return;
    sql.deleteDeferred.run(seq);
    const { bytes } = sql.bytesOf.get(seq) as { bytes: number };
    arriveAgain(transaction, { address, seq, attempt: attempt - 1, bytes, expires: expiryLifted });
    this.#resumed = "resumed";
  }

  done(): void {
    this.#answer.resolve(this.#resumed);
  }

  failed(error: WaybillError): void {
    this.#answer.reject(error);
  }
}

function publishAgain(transaction: Transaction, seq: number, topic: string): boolean {
  const { header, body } = transaction.sql.contentOf.get(seq) as { header: string; body: Body };
  const bytes = typeof body === "string" ? Buffer.byteLength(body) : body.byteLength;
  const to = { kind: "topic", name: topic } as const;
  const outgoing = { to, envelope: decode(header, body), notAfter: expiryLifted };
  // Not as something new that is sent: its destination may remember it.
  if (publish(transaction, { outgoing, header, body, bytes }) === undefined) return false;
  remove(transaction, seq, "republished");
  return true;
}

/** Stores other content where a message that was set aside came from, and deletes that one. */
export class ReplaceOperation extends AsideOperation {
  readonly #content: Encoded;

  constructor(handle: string, content: Encoded, answer: Answer) {
    super([handle], answer);
    this.#content = content;
  }

  protected override move(transaction: Transaction, seq: number, address: number): boolean {
    const { sql, now, addresses } = transaction;
    const { header, body, bytes, outgoing: content } = this.#content;
    const { type } = content.envelope.header;
    const home = addresses.get(address);
    if (home === undefined) return false;
    if (home.kind === "topic") {
      const to = { kind: "topic", name: home.name.slice(0, -1) } as const;
      const outgoing = { ...this.#content.outgoing, to };
      if (publish(transaction, { ...this.#content, outgoing }) === undefined) return false;
    } else if (home.keepsSessions) {
      // Under its old number: in its session it stands in front of what came later.
      takeOut(transaction, seq);
      leave(transaction, seq, "replaced");
      transaction.book.count(address, type, "accepted");
      sql.deleteFailure.run(seq);
      sql.rewriteMessage.run(now, header, body, seq);
      arriveAgain(transaction, { address, seq, attempt: 0, bytes, expires: null });
      unpark(transaction, seq);
      return true;
    } else {
      const next = transaction.takeSeq();
      transaction.book.count(address, home.kind === "stream" ? "" : type, "accepted");
      sql.copyMessage.run(next, now, header, body, seq);
      sql.insertReady.run(address, next, 0, bytes, null);
      transaction.madeReady.add(address);
    }
    remove(transaction, seq, "replaced");
    return true;
  }
}

/** Where a message was set aside; one that stands among the dead letters of another address comes back to its own, if that is still there. */
function comeHome(transaction: Transaction, seq: number): number | undefined {
  const { sql, addresses } = transaction;
  const row = (sql.deadOf.get(seq) ?? sql.deferredOf.get(seq)) as AsideRow | undefined;
  if (row === undefined || row.origin === null) return row?.address;
  if (addresses.get(row.origin) === undefined) return undefined;
  hand(transaction, seq, { from: row.address, to: row.origin });
  return row.origin;
}

function takeOut({ sql }: Transaction, seq: number): void {
  if (sql.deleteDead.run(seq).changes === 0) sql.deleteDeferred.run(seq);
}
