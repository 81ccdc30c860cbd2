import type { Body, WaybillError } from "@waybill/core";
import { decode, type Encoded } from "./codec.ts";
import { publish } from "./send.ts";
import type { Transaction } from "./transaction.ts";
import type { Operation } from "./writer.ts";

export interface Answer {
  resolve(count: number): void;
  reject(error: WaybillError): void;
}

abstract class AsideOperation implements Operation {
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
      const seq = /^\d{1,15}$/.test(handle) ? Number(handle) : 0;
      const address = addressOfAside(transaction, seq);
      if (address !== undefined && this.move(transaction, seq, address)) this.#count += 1;
    }
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

/** Deletes what was set aside. */
export class DiscardOperation extends AsideOperation {
  protected override move({ sql }: Transaction, seq: number): boolean {
    takeOut({ sql }, seq);
    sql.deleteFailure.run(seq);
    sql.deleteMessage.run(seq);
    return true;
  }
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
    sql.insertReady.run(address, seq, 0, bytes, null);
    transaction.madeReady.add(address);
    return true;
  }
}

function publishAgain(transaction: Transaction, seq: number, topic: string): boolean {
  const { sql } = transaction;
  const { header, body } = sql.contentOf.get(seq) as { header: string; body: Body };
  const envelope = decode(header, body);
  const bytes = typeof body === "string" ? Buffer.byteLength(body) : body.byteLength;
  const message: Encoded = {
    outgoing: { to: { kind: "topic", name: topic }, envelope },
    header,
    body,
    bytes,
  };
  // Not as something new that is sent: its destination may remember it.
  if (!publish(transaction, message)) return false;
  takeOut(transaction, seq);
  sql.deleteFailure.run(seq);
  sql.deleteMessage.run(seq);
  return true;
}

function addressOfAside({ sql }: Transaction, seq: number): number | undefined {
  const row = (sql.deadOf.get(seq) ?? sql.deferredOf.get(seq)) as { address: number } | undefined;
  return row?.address;
}

function takeOut({ sql }: Pick<Transaction, "sql">, seq: number): void {
  if (sql.deleteDead.run(seq).changes === 0) sql.deleteDeferred.run(seq);
}
