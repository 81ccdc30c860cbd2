import type { DatabaseSync } from "node:sqlite";
import type { SqliteStoreFactory, SqliteTransaction } from "@waybill/sqlite";
import type { Product, ProductDetails } from "../contracts/catalog.ts";
import type { DataDirectory } from "../database.ts";

const schema = `
  create table if not exists products (
    sku text primary key,
    name text not null,
    description text not null
  ) strict;
  create table if not exists versions (
    sku text primary key,
    version integer not null
  ) strict, without rowid;
  insert or ignore into products values
    ('tea', 'Mountain tea', 'Loose leaves from 2,000 metres'),
    ('mug', 'Enamel mug', 'Falls off tables, survives'),
    ('lantern', 'Storm lantern', 'Forty hours on one filling'),
    ('compass', 'Brass compass', 'Points north, mostly'),
    ('map', 'Folding map', 'Every footpath, 1:25,000'),
    ('backpack', 'Canvas backpack', 'Thirty litres, waxed'),
    ('boots', 'Walking boots', 'Already broken in'),
    ('first-edition', 'First-edition atlas', 'Three copies left in the world');
`;

/** What was there from the start has version 1. */
const select = `select sku, name, description, coalesce(version, 1) as version
  from products left join versions using (sku)`;
const addVersion = `insert into versions values (?, 2) on conflict do update set version = version + 1`;

export class Products {
  /** What is changed and what is said of it are one transaction: the same file. */
  readonly store: SqliteStoreFactory;
  readonly #db: DatabaseSync;

  constructor(data: DataDirectory) {
    const { db, store } = data.openStore("catalog", schema);
    this.#db = db;
    this.store = store;
  }

  list(): Product[] {
    return this.#db.prepare(`${select} order by products.rowid`).all() as unknown as Product[];
  }

  /** Answers the product with its next version; undefined where that is how it stood. */
  change(
    transaction: SqliteTransaction,
    { sku, name, description }: ProductDetails,
  ): Product | undefined {
    const sql = `insert into products values (?, ?, ?)
      on conflict do update set name = excluded.name, description = excluded.description
      where name <> excluded.name or description <> excluded.description`;
    const { changes } = transaction.prepare(sql).run(sku, name, description);
    if (changes === 0) return undefined;
    transaction.prepare(addVersion).run(sku);
    return transaction.prepare(`${select} where sku = ?`).get(sku) as unknown as Product;
  }
}
