import type {
  Failure,
  Session,
  Settled,
  Settlement,
  StateChange,
  WaybillError,
} from "@waybill/core";
import { type Encoded, encode, encodeFailure } from "../storage/codec.ts";
import { bury } from "../operating/dead-letters.ts";
import type { QueueDelivery } from "./delivery.ts";
import { refuseUnroutable, store } from "./send.ts";
import { refuseState } from "./session-handle.ts";
import { holdBack, park, rest, sessionOf, settleDown } from "./sessions.ts";
import type { Transaction } from "../storage/transaction.ts";
import { delayMsMax } from "../options.ts";
import type { Operation } from "../storage/writer.ts";

/** A settlement as it is stored; `reopen` is what happens to a delivery whose end nobody knows. */
export type Ending = { readonly send: readonly Encoded[] } & (
  | { readonly kind: "complete"; readonly state?: StateChange }
  | { readonly kind: "defer" | "reopen" }
  | { readonly kind: "release"; readonly delayMs?: number }
  | { readonly kind: "retry"; readonly delayMs: number; readonly failure: Failure }
  | { readonly kind: "deadLetter"; readonly failure: Failure; readonly park?: boolean }
);

/** Whether what stands behind it in its session may be handled now. */
export function isDone(ending: Pick<Ending, "kind"> & { readonly park?: boolean }): boolean {
  return (
    ending.kind === "complete" ||
    ending.kind === "defer" ||
    (ending.kind === "deadLetter" && ending.park !== true)
  );
}

/** What leaves with a settlement, as it is stored. Throws BODY_TOO_LARGE, MESSAGE_INVALID, and NOT_SUPPORTED for a state without a session. */
export function leaving(
  settlement: Settlement,
  session: Session | undefined,
  bodyBytesMax: number,
): readonly Encoded[] {
  if (settlement.kind !== "complete") return [];
  if (settlement.state !== undefined) refuseState(session, settlement.state);
  return (settlement.send ?? []).map((outgoing) => encode(outgoing, bodyBytesMax));
}

export interface SettleAnswer {
  settled(settled: Settled): void;
  failed(error: WaybillError): void;
}

/** Ends one delivery, if its lock still stands. */
export class SettleOperation implements Operation {
  readonly weight: number;
  readonly bytes: number;
  readonly #delivery: QueueDelivery;
  readonly #ending: Ending;
  readonly #answer: SettleAnswer;
  #settled: Settled = "unknown";

  constructor(delivery: QueueDelivery, ending: Ending, answer: SettleAnswer) {
    this.#delivery = delivery;
    this.#ending = ending;
    this.#answer = answer;
    this.weight = 1 + ending.send.length;
    let bytes = 0;
    for (const message of ending.send) bytes += message.bytes + message.header.length;
    if (ending.kind === "complete") bytes += ending.state?.body?.length ?? 0;
    this.bytes = bytes;
  }

  run(transaction: Transaction): void {
    const { seq, lease } = this.#delivery;
    const { send } = this.#ending;
    if (send.length > 0) {
      if (transaction.sql.isLocked.get(lease, seq) === undefined) return this.#lost();
      refuseUnroutable(transaction, send);
    }
    if (transaction.sql.unlock.run(lease, seq).changes === 0) return this.#lost();
    this.#settled = "settled";
    this.#end(transaction);
    const session = sessionOf(this.#delivery.line);
    if (session !== undefined) this.#endInSession(transaction, session);
    if (send.length > 0) store(transaction, send);
  }

  done(): void {
    this.#answer.settled(this.#settled);
  }

  failed(error: WaybillError): void {
    this.#answer.failed(error);
  }

  #lost(): void {
    this.#settled = "lockLost";
  }

  #end(transaction: Transaction): void {
    const { sql } = transaction;
    const { seq, address, attempt, failure, envelope, position } = this.#delivery;
    const ending = this.#ending;
    if (ending.kind !== "complete" && transaction.addresses.get(address) === undefined) {
      // Its queue died with the instance that it belonged to.
      sql.deleteMessage.run(seq);
      sql.deleteFailure.run(seq);
      return transaction.book.countMany(address, "dropped", 1);
    }
    switch (ending.kind) {
      case "complete":
        transaction.book.count(
          address,
          position === undefined ? envelope.header.type : "",
          "completed",
        );
        sql.deleteMessage.run(seq);
        if (failure !== undefined) sql.deleteFailure.run(seq);
        return;
      case "release":
        return this.#comeBack(transaction, attempt - 1, ending.delayMs ?? 0);
      case "reopen":
        return this.#comeBack(transaction, attempt, 0);
      case "retry":
        sql.putFailure.run(seq, encodeFailure(ending.failure));
        return this.#comeBack(transaction, attempt, ending.delayMs);
      case "deadLetter":
        return bury(transaction, { seq, address, attempt }, ending.failure);
      case "defer":
        sql.insertDeferred.run(seq, address, attempt);
        return;
    }
  }

  /** Nothing overtakes what comes back or is parked. */
  #endInSession(transaction: Transaction, session: number): void {
    const ending = this.#ending;
    if (ending.kind === "complete" && ending.state !== undefined)
      transaction.sql.writeState.run(ending.state.body ?? null, session);
    if (!isDone(ending)) holdBack(transaction, this.#delivery, ending.kind !== "reopen");
    if (ending.kind === "deadLetter" && ending.park === true)
      park(transaction, session, this.#delivery.seq);
    settleDown(transaction, session);
  }

  #comeBack(transaction: Transaction, attempt: number, delayMs: number): void {
    const { sql, now } = transaction;
    const { seq, address, line, bytes, expires } = this.#delivery;
    const session = sessionOf(line);
    if (session !== undefined) {
      sql.insertReady.run(line, seq, attempt, bytes, expires);
      if (delayMs > 0) rest(transaction, session, now + Math.min(delayMsMax, Math.ceil(delayMs)));
    } else if (delayMs > 0) {
      const due = now + Math.min(delayMsMax, Math.ceil(delayMs));
      sql.insertScheduled.run(due, seq, address, attempt, bytes, expires, null);
      transaction.willBeDue(due);
    } else {
      sql.insertReady.run(address, seq, attempt, bytes, expires);
      transaction.madeReady.add(address);
    }
  }
}
