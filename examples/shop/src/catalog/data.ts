import type { DatabaseSync } from "node:sqlite";
import type { Product } from "../contracts/catalog.ts";
import type { DataDirectory } from "../database.ts";

const schema = `
  create table if not exists products (
    sku text primary key,
    name text not null,
    description text not null
  ) strict;
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

export class Products {
  readonly #db: DatabaseSync;

  constructor(data: DataDirectory) {
    this.#db = data.open("catalog", schema);
  }

  list(): Product[] {
    const rows = this.#db
      .prepare("select sku, name, description from products order by rowid")
      .all();
    return rows as unknown as Product[];
  }
}
