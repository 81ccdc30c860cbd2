import assert from "node:assert/strict";
import type { SQLInputValue } from "node:sqlite";
import { test } from "node:test";
import { drizzle } from "drizzle-orm/sqlite-proxy";
import { eq } from "drizzle-orm";
import { integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { Kysely, SqliteDialect } from "kysely";
import type { Store, StoreHost } from "@waybill/core";
import { fakeEnvironment } from "@waybill/testkit";
import type { SqliteTransaction } from "./index.ts";
import { subject } from "./subject.fixture.ts";

interface Tables {
  orders: { id: string; total: number };
  lines: { id: string; sku: string };
}

/** As the README shows it. */
function kyselyOf(transaction: SqliteTransaction): Kysely<Tables> {
  return new Kysely({
    dialect: new SqliteDialect({
      database: {
        close: () => undefined,
        prepare: (sql) => {
          const statement = transaction.prepare(sql);
          return {
            reader: statement.columns().length > 0,
            all: (values) => statement.all(...(values as SQLInputValue[])),
            run: (values) => statement.run(...(values as SQLInputValue[])),
            iterate: (values) => statement.all(...(values as SQLInputValue[])).values(),
          };
        },
      },
    }),
  });
}

/** As the README shows it. */
function drizzleOf(transaction: SqliteTransaction) {
  return drizzle(async (sql, values, method) => {
    const statement = transaction.prepare(sql);
    if (method === "run") statement.run(...(values as SQLInputValue[]));
    const rows = method === "run" ? [] : statement.values(...(values as SQLInputValue[]));
    // For one row Drizzle takes the row itself, and nothing where there is none.
    return { rows: method === "get" ? (rows[0] as unknown[]) : rows };
  });
}

const orders = sqliteTable("orders", { id: text().primaryKey(), total: integer().notNull() });
const lines = sqliteTable("lines", { id: text().notNull(), sku: text().notNull() });

const bridges: Readonly<Record<string, (transaction: SqliteTransaction) => Promise<unknown>>> = {
  Kysely: async (transaction) => {
    const db = kyselyOf(transaction);
    await db.insertInto("orders").values({ id: "o-1", total: 5 }).execute();
    await db.insertInto("lines").values({ id: "o-1", sku: "tea" }).execute();
    const [row] = await db
      .updateTable("orders")
      .set({ total: 7 })
      .where("id", "=", "o-1")
      .returning("total")
      .execute();
    assert.equal(row?.total, 7);
    const found = await db
      .selectFrom("orders")
      .innerJoin("lines", "lines.id", "orders.id")
      .select(["orders.id", "total", "sku"])
      .execute();
    assert.deepEqual(
      found.map((each) => ({ ...each })),
      [{ id: "o-1", total: 7, sku: "tea" }],
    );
    return db.transaction().execute(() => Promise.resolve());
  },
  Drizzle: async (transaction) => {
    const db = drizzleOf(transaction);
    await db.insert(orders).values({ id: "o-1", total: 5 });
    await db.insert(lines).values({ id: "o-1", sku: "tea" });
    const [row] = await db
      .update(orders)
      .set({ total: 7 })
      .where(eq(orders.id, "o-1"))
      .returning({ total: orders.total });
    assert.equal(row?.total, 7);
    // Both tables have an "id".
    const found = await db.select().from(orders).innerJoin(lines, eq(lines.id, orders.id));
    assert.deepEqual(found, [
      { orders: { id: "o-1", total: 7 }, lines: { id: "o-1", sku: "tea" } },
    ]);
    assert.equal(await db.select().from(orders).where(eq(orders.id, "none")).get(), undefined);
    return db.transaction(() => Promise.resolve());
  },
};

for (const [name, bridge] of Object.entries(bridges))
  test(`${name} writes in the handler's transaction, and cannot begin one of its own`, async () => {
    const made = subject();
    made.db.exec(
      "create table orders (id text primary key, total integer not null); create table lines (id text not null, sku text not null)",
    );
    const environment = fakeEnvironment();
    const host: StoreHost = {
      environment,
      logger: { debug() {}, info() {}, warn() {}, error() {} },
      committed: () => undefined,
    };
    const store: Store<SqliteTransaction> = await made.factory().open(host);
    const count = (): unknown =>
      made.db.prepare("select count(*) as n from orders where total = 7").get()?.["n"];
    const run = (fails: boolean): Promise<void> =>
      store.transaction(async ({ client }) => {
        await assert.rejects(bridge(client), (error) => !(error instanceof assert.AssertionError));
        if (fails) throw new RangeError("planned");
      });
    await assert.rejects(run(true), RangeError);
    assert.equal(count(), 0);
    await run(false);
    assert.equal(count(), 1);
    await store[Symbol.asyncDispose]();
    await made.close();
  });
