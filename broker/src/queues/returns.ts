import type { Writer } from "../storage/writer.ts";
import type { Transaction } from "../storage/transaction.ts";
import type { Locked } from "./claim.ts";
import type { LockedLine } from "./contents.ts";
import type { QueueDelivery } from "./delivery.ts";
import { sessionOf, settleDown } from "./sessions.ts";
import { SettleOperation } from "./settle.ts";

/** Locks of one receiver that have to be opened again for others, as soon as the storage works. */
export class Returns {
  readonly #writer: Writer;
  readonly #returned: (delivery?: QueueDelivery) => void;
  readonly #abandoned = new Set<QueueDelivery>();
  readonly #unread = new Set<Locked>();

  /** `returned` is called after each that went back. */
  constructor(writer: Writer, returned: (delivery?: QueueDelivery) => void) {
    this.#writer = writer;
    this.#returned = returned;
  }

  get size(): number {
    return this.#abandoned.size + this.#unread.size;
  }

  /** With the next `retry`: its end is not known, and its attempt counts. */
  reopen(delivery: QueueDelivery): void {
    this.#abandoned.add(delivery);
  }

  /** At once: it was never delivered, and the attempt does not count. `tried` is called after the first try, whatever came of it. */
  giveBack(locked: Locked, tried: () => void): void {
    this.#unread.add(locked);
    this.#giveBack(locked, tried);
  }

  retry(): void {
    for (const delivery of this.#abandoned) this.#reopen(delivery);
    for (const locked of this.#unread) this.#giveBack(locked);
  }

  /** The lease is lost: others have opened them. */
  clear(): void {
    this.#abandoned.clear();
    this.#unread.clear();
  }

  #reopen(delivery: QueueDelivery): void {
    const settled = (): void => {
      this.#abandoned.delete(delivery);
      this.#returned(delivery);
    };
    const answer = { settled, failed: () => {} };
    this.#writer.submit(new SettleOperation(delivery, { kind: "reopen", send: [] }, answer));
  }

  #giveBack(locked: Locked, tried?: () => void): void {
    const weight = locked.lines.reduce((sum, { rows }) => sum + rows.length, 0);
    const done = (): void => {
      this.#unread.delete(locked);
      tried?.();
      this.#returned();
    };
    const failed = (): void => tried?.();
    const run = (transaction: Transaction): void => giveBack(transaction, locked);
    this.#writer.submit({ weight, bytes: 0, run, done, failed });
  }
}

/** Wakes nobody: who looks next would meet the same. */
function giveBack(transaction: Transaction, { grant, lines }: Locked): void {
  for (const line of lines) {
    const woken = transaction.madeReady.has(line.address);
    unlock(transaction, grant.id, line);
    if (!woken) transaction.madeReady.delete(line.address);
  }
}

function unlock(transaction: Transaction, lease: number, { line, rows }: LockedLine): void {
  const { sql } = transaction;
  for (const [seq, bytes, expires, attempt] of rows)
    if (sql.unlock.run(lease, seq).changes > 0)
      sql.insertReady.run(line, seq, attempt, bytes, expires);
  const session = sessionOf(line);
  if (session !== undefined) settleDown(transaction, session);
}
