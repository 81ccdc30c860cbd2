import type { DatabaseSync } from "node:sqlite";
import type { Basket, Line } from "../contracts/basket.ts";
import { type DataDirectory, transaction } from "../database.ts";

const schema = `
  create table if not exists lines (
    visitor text not null,
    sku text not null,
    quantity integer not null,
    cents integer not null,
    primary key (visitor, sku)
  ) strict, without rowid;
  create table if not exists ordered (order_id text primary key) strict, without rowid;
  create table if not exists revisions (
    visitor text primary key,
    revision integer not null
  ) strict, without rowid;
`;

export class Baskets {
  readonly #db: DatabaseSync;

  constructor(data: DataDirectory) {
    this.#db = data.open("basket", schema);
  }

  setLine(visitor: string, { sku, quantity, cents }: Line): void {
    const sql = `insert into lines values (?, ?, ?, ?)
      on conflict do update set quantity = excluded.quantity, cents = excluded.cents`;
    transaction(this.#db, () => {
      this.#db.prepare(sql).run(visitor, sku, quantity, cents);
      this.#addRevision(visitor);
    });
  }

  removeLine(visitor: string, sku: string): void {
    transaction(this.#db, () => {
      this.#db.prepare("delete from lines where visitor = ? and sku = ?").run(visitor, sku);
      this.#addRevision(visitor);
    });
  }

  /** Once per order: told again, it leaves alone what was put into the basket since. */
  empty(visitor: string, orderId: string): void {
    transaction(this.#db, () => {
      const { changes } = this.#db.prepare("insert or ignore into ordered values (?)").run(orderId);
      if (changes === 0) return;
      this.#db.prepare("delete from lines where visitor = ?").run(visitor);
      this.#addRevision(visitor);
    });
  }

  /** The revision is read first: a change between the two reads is seen again, never missed. */
  find(visitor: string): Basket {
    const known = this.#db.prepare("select revision from revisions where visitor = ?").get(visitor);
    const revision = (known as { revision: number } | undefined)?.revision ?? 0;
    const sql = "select sku, quantity, cents from lines where visitor = ? order by sku";
    const lines = this.#db.prepare(sql).all(visitor) as unknown as Line[];
    return {
      visitor,
      revision,
      lines,
      totalCents: lines.reduce((sum, each) => sum + each.quantity * each.cents, 0),
    };
  }

  #addRevision(visitor: string): void {
    const sql = `insert into revisions values (?, 1) on conflict do update set revision = revision + 1`;
    this.#db.prepare(sql).run(visitor);
  }
}
