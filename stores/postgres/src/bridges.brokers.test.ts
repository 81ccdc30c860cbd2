import assert from "node:assert/strict";
import { test } from "node:test";
import { drizzle } from "drizzle-orm/node-postgres";
import { eq } from "drizzle-orm";
import { integer, pgTable, text } from "drizzle-orm/pg-core";
import { Kysely, PostgresDialect, type PostgresPoolClient } from "kysely";
import type { Client } from "pg";
import { type Store, type StoreHost, systemEnvironment } from "@waybill/core";
import type { PostgresTransaction } from "./index.ts";
import { subject } from "./subject.fixture.ts";

interface Tables {
  orders: { id: string; total: number };
}

/** As the README shows it. */
function kyselyOf(transaction: PostgresTransaction): Kysely<Tables> {
  const client = { query: transaction.query, release: () => undefined } as PostgresPoolClient;
  return new Kysely({
    dialect: new PostgresDialect({
      pool: { connect: async () => client, end: async () => undefined, options: {} },
    }),
  });
}

const orders = pgTable("orders", { id: text().primaryKey(), total: integer().notNull() });

const bridges: Readonly<Record<string, (transaction: PostgresTransaction) => Promise<unknown>>> = {
  Kysely: async (transaction) => {
    const db = kyselyOf(transaction);
    await db.insertInto("orders").values({ id: "o-1", total: 5 }).execute();
    const [row] = await db
      .updateTable("orders")
      .set({ total: 7 })
      .where("id", "=", "o-1")
      .returning("total")
      .execute();
    assert.equal(row?.total, 7);
    return db.transaction().execute(() => Promise.resolve());
  },
  Drizzle: async (transaction) => {
    const db = drizzle({ client: transaction as Client });
    await db.insert(orders).values({ id: "o-1", total: 5 });
    const [row] = await db
      .update(orders)
      .set({ total: 7 })
      .where(eq(orders.id, "o-1"))
      .returning({ total: orders.total });
    assert.equal(row?.total, 7);
    assert.deepEqual(await db.select().from(orders), [{ id: "o-1", total: 7 }]);
    return db.transaction(() => Promise.resolve());
  },
};

for (const [name, bridge] of Object.entries(bridges))
  test(`${name} writes in the handler's transaction, and cannot begin one of its own`, async () => {
    const made = await subject();
    await made.client.query("create table orders (id text primary key, total integer not null)");
    const host: StoreHost = {
      environment: systemEnvironment,
      logger: { debug() {}, info() {}, warn() {}, error() {} },
      committed: () => undefined,
    };
    const store: Store<PostgresTransaction> = await made.factory().open(host);
    const count = async (): Promise<number | null> =>
      (await made.client.query("select 1 from orders where total = 7")).rowCount;
    const run = (fails: boolean): Promise<void> =>
      store.transaction(async ({ client }) => {
        await assert.rejects(bridge(client), (error: Error) => {
          const told = `${error.message} ${String((error.cause as Error | undefined)?.message)}`;
          assert.match(told, /Waybill begins, commits and rolls back/);
          return true;
        });
        if (fails) throw new RangeError("planned");
      });
    try {
      await assert.rejects(run(true), RangeError);
      assert.equal(await count(), 0);
      await run(false);
      assert.equal(await count(), 1);
    } finally {
      await store[Symbol.asyncDispose]();
      await made.close();
    }
  });
