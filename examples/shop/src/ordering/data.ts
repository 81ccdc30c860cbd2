import type { DatabaseSync } from "node:sqlite";
import type { InputOf } from "waybill";
import type { SqliteStoreFactory, SqliteTransaction } from "@waybill/sqlite";
import type { OrderState, OrderView, PlaceOrder } from "../contracts/ordering.ts";
import type { DataDirectory } from "../database.ts";

const schema = `
  create table if not exists orders (
    id text primary key,
    visitor text not null,
    wish text not null,
    total_cents integer not null,
    pay_by text not null,
    state text not null,
    reason text,
    payment_attempts integer
  ) strict;
  create index if not exists orders_by_visitor on orders (visitor);
  create table if not exists steps (
    order_id text not null,
    state text not null,
    at text not null,
    primary key (order_id, state)
  ) strict;
`;

interface Row {
  readonly id: string;
  readonly wish: string;
  readonly total_cents: number;
  readonly pay_by: string;
  readonly state: OrderState;
  readonly reason: string | null;
  readonly payment_attempts: number | null;
}

type Wish = InputOf<typeof PlaceOrder>;

export interface Move {
  readonly to: OrderState;
  readonly at: Date;
  readonly reason?: string | undefined;
  readonly paymentAttempts?: number | undefined;
}

/**
 * The orders as customers see them. Written in the transactions of the process that leads an order (`process.ts`), so that they show what it
 * has committed and nothing else; read on a connection of their own.
 */
export class Orders {
  /** Where the process is kept: the same file. */
  readonly store: SqliteStoreFactory;
  readonly #db: DatabaseSync;

  constructor(data: DataDirectory) {
    const { db, store } = data.openStore("ordering", schema);
    this.#db = db;
    this.store = store;
  }

  place(
    transaction: SqliteTransaction,
    wish: Wish,
    { at, payBy }: { readonly at: Date; readonly payBy: Date },
  ): void {
    const sql = `insert into orders (id, visitor, wish, total_cents, pay_by, state)
      values (?, ?, ?, ?, ?, 'placed')`;
    transaction
      .prepare(sql)
      .run(
        wish.orderId,
        wish.visitor,
        JSON.stringify(wish),
        totalOf(wish.lines),
        payBy.toISOString(),
      );
    addStep(transaction, wish.orderId, { to: "placed", at });
  }

  move(transaction: SqliteTransaction, orderId: string, step: Move): void {
    const sql = `update orders set state = ?, reason = ?, payment_attempts = coalesce(?, payment_attempts)
      where id = ?`;
    const { to, reason, paymentAttempts } = step;
    transaction.prepare(sql).run(to, reason ?? null, paymentAttempts ?? null, orderId);
    addStep(transaction, orderId, step);
  }

  find(orderId: string): OrderView | null {
    const row = this.#db.prepare("select * from orders where id = ?").get(orderId);
    return row === undefined ? null : this.#viewOf(row as unknown as Row);
  }

  ofVisitor(visitor: string): OrderView[] {
    const sql = "select * from orders where visitor = ? order by rowid desc limit 20";
    const rows = this.#db.prepare(sql).all(visitor) as unknown as Row[];
    return rows.map((row) => this.#viewOf(row));
  }

  #viewOf(row: Row): OrderView {
    const { orderId, visitor, customer, lines } = JSON.parse(row.wish) as Wish;
    const steps = this.#db
      .prepare("select state, at from steps where order_id = ? order by rowid")
      .all(row.id) as unknown as OrderView["steps"];
    const { total_cents: totalCents, pay_by: payBy, payment_attempts: paymentAttempts } = row;
    const { state, reason } = row;
    return {
      orderId,
      visitor,
      customer,
      lines,
      totalCents,
      state,
      reason,
      payBy,
      paymentAttempts,
      steps,
    };
  }
}

export function totalOf(lines: Wish["lines"]): number {
  return lines.reduce((sum, { quantity, cents }) => sum + quantity * cents, 0);
}

function addStep(transaction: SqliteTransaction, orderId: string, { to, at }: Move): void {
  transaction.prepare("insert into steps values (?, ?, ?)").run(orderId, to, at.toISOString());
}
