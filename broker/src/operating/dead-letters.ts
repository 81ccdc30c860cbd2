import type { Failure, LeftBy } from "@waybill/core";
import { brokerFailure } from "@waybill/core/adapter";
import { encodeFailure } from "../storage/codec.ts";
import type { Transaction } from "../storage/transaction.ts";

/** The expiry of what somebody brought back: it has one no more, whatever its header says. */
export const expiryLifted: number = Number.MAX_SAFE_INTEGER;

export interface Place {
  readonly seq: number;
  readonly address: number;
  readonly attempt: number;
}

/** Sets a message aside with its failure, where the dead letters of its address stand. The caller has taken it out of where it stood. */
export function bury(
  transaction: Transaction,
  { seq, address, attempt }: Place,
  failure: Failure,
): void {
  const { sql, addresses } = transaction;
  const { deadLettersTo } = addresses.get(address) ?? {};
  const keeper = deadLettersTo === undefined ? undefined : addresses.find("queue", deadLettersTo);
  if (keeper === undefined) sql.insertDead.run(seq, address, attempt);
  else {
    hand(transaction, seq, { from: address, to: keeper.id });
    sql.keepDead.run(seq, keeper.id, attempt, address);
  }
  sql.putFailure.run(seq, encodeFailure(failure));
}

/** Makes a message another address's, in the books of both. */
export function hand(
  { sql, book }: Transaction,
  seq: number,
  { from, to }: { readonly from: number; readonly to: number },
): void {
  const { type } = sql.bookedAs.get(seq) as { type: string | null };
  book.count(from, type ?? "", "forwarded");
  book.count(to, type ?? "", "accepted");
  sql.moveMessage.run(to, seq);
}

/** What to do with a message whose time is over: its sender has said whether anybody needs to see it. */
export function expire(transaction: Transaction, place: Place): void {
  const { sql, now } = transaction;
  const { discards } = sql.discardsExpired.get(place.seq) as { discards: number };
  if (discards === 0) return bury(transaction, place, expiredFailure(now, place.attempt));
  leave(transaction, place.seq, "expired");
  sql.deleteMessage.run(place.seq);
  sql.deleteFailure.run(place.seq);
}

/** Books that a message leaves for good. To be called while it is still stored. */
export function leave({ sql, book }: Transaction, seq: number, by: LeftBy): void {
  const { address, type } = sql.bookedAs.get(seq) as { address: number; type: string | null };
  book.count(address, type ?? "", by);
}

function expiredFailure(now: number, attempts: number): Failure {
  const words =
    "The message was not delivered before the moment until which it was of use. Add consumers, or give it more time.";
  return brokerFailure("EXPIRED", words, { now, attempts });
}
