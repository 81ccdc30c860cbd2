import { dedupKey, type Outgoing } from "@waybill/core";
import type { Transaction } from "../storage/transaction.ts";

/** 7 days: what is remembered lies in the file for as long. */
export const dedupWindowMsMax: number = 7 * 24 * 60 * 60 * 1000;

/** Whose time is over go two for each that comes, so that their number stays in proportion to what is sent within the window. */
const trimsPerMessage = 2;

/** Whether the destination remembers a message with this type and id; if not, it does from now on. */
export function isDuplicate(transaction: Transaction, { to, envelope }: Outgoing): boolean {
  const { sql, now, addresses } = transaction;
  if (to.kind === "stream") return false;
  const address =
    to.kind === "queue"
      ? addresses.find("queue", to.name)
      : addresses.get(addresses.topic(to.name) ?? 0);
  if (address === undefined || address.dedupMs === 0) return false;
  const until = now + address.dedupMs;
  if (sql.remember.run(address.id, dedupKey(envelope.header), until, now).changes === 0)
    return true;
  forgetOver(transaction, trimsPerMessage);
  return false;
}

/** Lets go of some whose time is over, oldest first. */
export function forgetOver({ sql, now }: Transaction, limit: number): void {
  const over = sql.overRemembered.all(now, limit) as unknown as { address: number; key: string }[];
  for (const { address, key } of over) sql.forget.run(address, key);
}
