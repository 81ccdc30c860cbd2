import type { DatabaseSync } from "node:sqlite";
import type { DataDirectory } from "../database.ts";

const schema = `
  create table if not exists parcels (
    order_id text primary key,
    region text not null,
    packed_at text not null
  ) strict;
`;

export class Parcels {
  readonly #db: DatabaseSync;

  constructor(data: DataDirectory) {
    this.#db = data.open("shipping", schema);
  }

  /** Packs one parcel per order, however often it is asked. Answers when it was packed. */
  pack(orderId: string, region: string, at: Date): Date {
    this.#db
      .prepare("insert or ignore into parcels values (?, ?, ?)")
      .run(orderId, region, at.toISOString());
    const row = this.#db.prepare("select packed_at from parcels where order_id = ?").get(orderId);
    return new Date(row?.["packed_at"] as string);
  }

  count(): number {
    return this.#db.prepare("select count(*) as parcels from parcels").get()?.["parcels"] as number;
  }
}
