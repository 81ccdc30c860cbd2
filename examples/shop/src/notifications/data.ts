import type { DatabaseSync } from "node:sqlite";
import type { Notification } from "../contracts/notifications.ts";
import type { DataDirectory } from "../database.ts";

const schema = `
  create table if not exists notifications (
    order_id text not null,
    audience text not null,
    text text not null,
    at text not null,
    primary key (order_id, audience)
  ) strict;
`;

export class Notifications {
  readonly #db: DatabaseSync;

  constructor(data: DataDirectory) {
    this.#db = data.open("notifications", schema);
  }

  add({ orderId, audience, text, at }: Notification): void {
    this.#db
      .prepare("insert or ignore into notifications values (?, ?, ?, ?)")
      .run(orderId, audience, text, at);
  }

  latest(): Notification[] {
    const sql = `select order_id as orderId, audience, text, at
      from notifications order by rowid desc limit 20`;
    return this.#db.prepare(sql).all() as unknown as Notification[];
  }
}
