import type { DatabaseSync } from "node:sqlite";
import type { Price } from "../contracts/pricing.ts";
import { type DataDirectory, transaction } from "../database.ts";

const schema = `
  create table if not exists prices (
    sku text primary key,
    cents integer not null
  ) strict;
  create table if not exists versions (
    sku text primary key,
    version integer not null
  ) strict, without rowid;
  insert or ignore into prices values
    ('tea', 890), ('mug', 1450), ('lantern', 5900), ('compass', 3200),
    ('map', 1200), ('backpack', 11900), ('boots', 18500), ('first-edition', 45000);
`;

/** What was there from the start has version 1. */
const select = `select sku, cents, coalesce(version, 1) as version
  from prices left join versions using (sku)`;
const addVersion = `insert into versions values (?, 2) on conflict do update set version = version + 1`;

export class Prices {
  readonly #db: DatabaseSync;

  constructor(data: DataDirectory) {
    this.#db = data.open("pricing", schema);
  }

  list(): Price[] {
    return this.#db.prepare(`${select} order by sku`).all() as unknown as Price[];
  }

  /** Answers the price as it stands. Its version rises where that is something new. */
  set({ sku, cents }: Omit<Price, "version">): Price {
    return transaction(this.#db, () => {
      const sql = `insert into prices values (?, ?)
        on conflict do update set cents = excluded.cents where cents <> excluded.cents`;
      const { changes } = this.#db.prepare(sql).run(sku, cents);
      if (changes > 0) this.#db.prepare(addVersion).run(sku);
      return this.#db.prepare(`${select} where sku = ?`).get(sku) as unknown as Price;
    });
  }
}
