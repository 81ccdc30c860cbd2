import type { DatabaseSync } from "node:sqlite";
import type { DataDirectory } from "../database.ts";
import type { Verdict } from "./bank.ts";

const schema = `
  create table if not exists payments (
    order_id text primary key,
    cents integer not null,
    attempts integer not null,
    state text not null check (state in ('charged', 'declined', 'pending', 'void', 'refunded'))
  ) strict;
  create table if not exists struck (order_id text primary key) strict, without rowid;
`;

export interface Payment {
  readonly cents: number;
  readonly attempts: number;
  readonly state: Verdict | "void" | "refunded";
}

export class Payments {
  readonly #db: DatabaseSync;

  constructor(data: DataDirectory) {
    this.#db = data.open("payment", schema);
  }

  find(orderId: string): Payment | undefined {
    const row = this.#db
      .prepare("select cents, attempts, state from payments where order_id = ?")
      .get(orderId);
    return row as Payment | undefined;
  }

  /** Keeps the first verdict of an order. */
  record(orderId: string, { cents, attempts, state }: Payment): Payment {
    const sql = "insert into payments values (?, ?, ?, ?) on conflict do nothing";
    this.#db.prepare(sql).run(orderId, cents, attempts, state);
    return this.find(orderId) as Payment;
  }

  /** Gives back what was charged, and remembers that nothing may be charged any more. */
  void(orderId: string): void {
    const sql = `insert into payments values (?, 0, 0, 'void') on conflict do update set
      state = case state when 'charged' then 'refunded' when 'pending' then 'void' else state end`;
    this.#db.prepare(sql).run(orderId);
  }

  takings(): { payments: number; cents: number; refunds: number } {
    const sql = `select count(*) filter (where state = 'charged') as payments,
      coalesce(sum(cents) filter (where state = 'charged'), 0) as cents,
      count(*) filter (where state = 'refunded') as refunds from payments`;
    return this.#db.prepare(sql).get() as unknown as {
      payments: number;
      cents: number;
      refunds: number;
    };
  }

  /** Whether this is the first time. */
  strike(orderId: string): boolean {
    return this.#db.prepare("insert or ignore into struck values (?)").run(orderId).changes === 1;
  }
}
