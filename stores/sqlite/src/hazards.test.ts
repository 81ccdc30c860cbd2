import assert from "node:assert/strict";
import { test } from "node:test";
import type { Store, StoreHost } from "@waybill/core";
import { fakeEnvironment } from "@waybill/testkit";
import type { SqliteTransaction } from "./index.ts";
import { type SqliteSubject, subject } from "./subject.fixture.ts";

const silent = { debug() {}, info() {}, warn() {}, error() {} };

async function stage(): Promise<
  AsyncDisposable & { made: SqliteSubject; store: Store<SqliteTransaction> }
> {
  const made = subject();
  const host: StoreHost = {
    environment: fakeEnvironment(),
    logger: silent,
    committed: () => undefined,
  };
  const store = await made.factory().open(host);
  return {
    made,
    store,
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      await made.close();
    },
  };
}

test("when SQLite takes a transaction back by itself, nothing is written behind it", async () => {
  await using both = await stage();
  const { made, store } = both;
  made.db.exec("create table once (id text primary key) strict; insert into once values ('a')");
  const failing = store.transaction(async (transaction) => {
    await transaction.claim("orders", "m-1");
    assert.throws(() => transaction.client.exec("insert or rollback into once values ('a')"));
    // There is no transaction any more: alone this would be stored at once, whatever becomes of the message.
    await made.write(transaction.client, "ghost");
  });
  await assert.rejects(failing, { code: "STORAGE_FAILED" });
  assert.deepEqual(await made.written(), []);
  const told = store.transaction(async (transaction) => {
    assert.throws(() => transaction.client.exec("insert or rollback into once values ('a')"));
    await transaction.claim("orders", "m-2");
  });
  await assert.rejects(told, { code: "STORAGE_FAILED" });
  assert.equal(await store.transaction((each) => each.claim("orders", "m-2")), true);
});

test("a constraint that is checked at COMMIT costs its neighbours one turn, and no second one", async () => {
  await using both = await stage();
  const { made, store } = both;
  made.db.exec(
    "create table parent (id text primary key); create table child (parent text references parent (id) deferrable initially deferred)",
  );
  const bad = (): Promise<void> =>
    store.transaction(({ client }) => client.exec("insert into child values ('nobody')"));
  const good = (name: string): Promise<void> =>
    store.transaction(({ client }) => void made.write(client, name));
  const first = await Promise.allSettled([good("a"), bad(), good("b")]);
  assert.equal(first[1]?.status, "rejected");
  const second = await Promise.allSettled([good("a"), bad(), good("b")]);
  assert.deepEqual(
    second.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  assert.ok((await made.written()).includes("a"));
});
