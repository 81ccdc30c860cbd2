import type { DatabaseSync } from "node:sqlite";
import type { Price } from "../contracts/pricing.ts";
import type { DataDirectory } from "../database.ts";

const schema = `
  create table if not exists prices (
    sku text primary key,
    cents integer not null
  ) strict;
  insert or ignore into prices values
    ('tea', 890), ('mug', 1450), ('lantern', 5900), ('compass', 3200),
    ('map', 1200), ('backpack', 11900), ('boots', 18500), ('first-edition', 45000);
`;

export class Prices {
  readonly #db: DatabaseSync;

  constructor(data: DataDirectory) {
    this.#db = data.open("pricing", schema);
  }

  list(): Price[] {
    return this.#db
      .prepare("select sku, cents from prices order by sku")
      .all() as unknown as Price[];
  }

  find(sku: string): Price | null {
    const row = this.#db.prepare("select sku, cents from prices where sku = ?").get(sku);
    return (row as Price | undefined) ?? null;
  }
}
