import type { DatabaseSync } from "node:sqlite";
import type { InputOf } from "waybill";
import type { Card, OrderState, OrderView, PlaceOrder } from "../contracts/ordering.ts";
import { type DataDirectory, transaction } from "../database.ts";

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

/** An order as ordering itself knows it. */
export interface StoredOrder {
  readonly view: OrderView;
  readonly card: Card;
}

export interface Move {
  readonly from: readonly OrderState[];
  readonly to: OrderState;
  readonly at: Date;
  readonly reason?: string;
  readonly paymentAttempts?: number;
}

export class Orders {
  readonly #db: DatabaseSync;

  constructor(data: DataDirectory) {
    this.#db = data.open("ordering", schema);
  }

  /** Stores a new order; one that is known already stays as it is. */
  place(wish: Wish, at: Date): StoredOrder {
    const totalCents = wish.lines.reduce((sum, line) => sum + line.quantity * line.cents, 0);
    const payBy = new Date(at.getTime() + wish.payWithinMs).toISOString();
    transaction(this.#db, () => {
      const sql = `insert into orders (id, visitor, wish, total_cents, pay_by, state)
        values (?, ?, ?, ?, ?, 'placed') on conflict do nothing`;
      const inserted = this.#db
        .prepare(sql)
        .run(wish.orderId, wish.visitor, JSON.stringify(wish), totalCents, payBy);
      if (inserted.changes === 1) this.#addStep(wish.orderId, "placed", at);
    });
    return this.#stored(wish.orderId) as StoredOrder;
  }

  /** Moves an order on if it stands in one of the states `from`; in any other nothing changes. Answers how it stands now. */
  move(orderId: string, { from, to, at, reason, paymentAttempts }: Move): StoredOrder {
    transaction(this.#db, () => {
      const sql = `update orders set state = ?, reason = ?, payment_attempts = coalesce(?, payment_attempts)
        where id = ? and state in (${from.map(() => "?").join(", ")})`;
      const moved = this.#db
        .prepare(sql)
        .run(to, reason ?? null, paymentAttempts ?? null, orderId, ...from);
      if (moved.changes === 1) this.#addStep(orderId, to, at);
    });
    const order = this.#stored(orderId);
    if (order === undefined) throw new RangeError(`There is no order ${orderId}.`);
    return order;
  }

  find(orderId: string): OrderView | null {
    return this.#stored(orderId)?.view ?? null;
  }

  ofVisitor(visitor: string): OrderView[] {
    const sql = "select * from orders where visitor = ? order by rowid desc limit 20";
    const rows = this.#db.prepare(sql).all(visitor) as unknown as Row[];
    return rows.map((row) => this.#toStored(row).view);
  }

  #stored(orderId: string): StoredOrder | undefined {
    const row = this.#db.prepare("select * from orders where id = ?").get(orderId);
    return row === undefined ? undefined : this.#toStored(row as unknown as Row);
  }

  #toStored(row: Row): StoredOrder {
    const { orderId, visitor, customer, lines, card } = JSON.parse(row.wish) as Wish;
    const steps = this.#db
      .prepare("select state, at from steps where order_id = ? order by rowid")
      .all(row.id) as unknown as OrderView["steps"];
    const { total_cents: totalCents, pay_by: payBy, payment_attempts: paymentAttempts } = row;
    const { state, reason } = row;
    return {
      card,
      view: {
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
      },
    };
  }

  #addStep(orderId: string, state: OrderState, at: Date): void {
    this.#db.prepare("insert into steps values (?, ?, ?)").run(orderId, state, at.toISOString());
  }
}
