import type { DatabaseSync } from "node:sqlite";
import type { Stock } from "../contracts/inventory.ts";
import { type DataDirectory, transaction } from "../database.ts";

const schema = `
  create table if not exists stock (
    sku text primary key,
    free integer not null check (free >= 0)
  ) strict;
  create table if not exists reservations (
    order_id text primary key,
    state text not null check (state in ('held', 'refused', 'released')),
    reason text
  ) strict;
  create table if not exists reserved_lines (
    order_id text not null,
    sku text not null,
    quantity integer not null,
    primary key (order_id, sku)
  ) strict, without rowid;
  insert or ignore into stock values
    ('tea', 50000), ('mug', 50000), ('lantern', 50000), ('compass', 50000),
    ('map', 50000), ('backpack', 50000), ('boots', 50000), ('first-edition', 3);
`;

export interface Reservation {
  readonly state: "held" | "refused" | "released";
  readonly reason: string | null;
}

interface Line {
  readonly sku: string;
  readonly quantity: number;
}

export class Warehouse {
  readonly #db: DatabaseSync;

  constructor(data: DataDirectory) {
    this.#db = data.open("inventory", schema);
  }

  /** All lines or none, once per order. Answers what was decided the first time. */
  reserve(orderId: string, lines: readonly Line[]): Reservation {
    return transaction(this.#db, () => {
      const known = this.#find(orderId);
      if (known !== undefined) return known;
      const short = lines.find(({ sku, quantity }) => quantity > this.#free(sku));
      if (short !== undefined) {
        this.#insert(orderId, "refused", `There is not enough "${short.sku}" left.`);
      } else {
        this.#insert(orderId, "held", null);
        for (const line of lines) this.#take(orderId, line);
      }
      return this.#find(orderId) as Reservation;
    });
  }

  /** Gives everything back, once. A release that overtakes its reservation is remembered, so that nothing is reserved later. */
  release(orderId: string): void {
    transaction(this.#db, () => {
      const known = this.#find(orderId);
      if (known === undefined) this.#insert(orderId, "released", null);
      if (known?.state !== "held") return;
      const giveBack = `update stock set free = free + quantity from reserved_lines
        where reserved_lines.order_id = ? and reserved_lines.sku = stock.sku`;
      this.#db.prepare(giveBack).run(orderId);
      this.#db
        .prepare("update reservations set state = 'released' where order_id = ?")
        .run(orderId);
    });
  }

  list(): Stock[] {
    const sql = `select sku, free, coalesce((
        select sum(quantity) from reserved_lines join reservations using (order_id)
        where reserved_lines.sku = stock.sku and state = 'held'
      ), 0) as held from stock order by sku`;
    return this.#db.prepare(sql).all() as unknown as Stock[];
  }

  #find(orderId: string): Reservation | undefined {
    const row = this.#db
      .prepare("select state, reason from reservations where order_id = ?")
      .get(orderId);
    return row as Reservation | undefined;
  }

  #free(sku: string): number {
    const row = this.#db.prepare("select free from stock where sku = ?").get(sku);
    return (row?.["free"] as number | undefined) ?? 0;
  }

  #insert(orderId: string, state: Reservation["state"], reason: string | null): void {
    this.#db.prepare("insert into reservations values (?, ?, ?)").run(orderId, state, reason);
  }

  #take(orderId: string, { sku, quantity }: Line): void {
    this.#db.prepare("update stock set free = free - ? where sku = ?").run(quantity, sku);
    this.#db.prepare("insert into reserved_lines values (?, ?, ?)").run(orderId, sku, quantity);
  }
}
