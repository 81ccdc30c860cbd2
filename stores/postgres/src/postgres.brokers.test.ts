import assert from "node:assert/strict";
import { test } from "node:test";
import { type StoreHost, systemEnvironment } from "@waybill/core";
import { postgres } from "./index.ts";
import { subject } from "./subject.fixture.ts";

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const host: StoreHost = {
  environment: systemEnvironment,
  logger: silent,
  committed: () => undefined,
};

test("a database without Waybill's tables is refused where migrating is forbidden, and taken after it was done by hand", async () => {
  const made = await subject({ migrate: false });
  try {
    const factory = made.factory();
    await assert.rejects(factory.open(host), { code: "STORAGE_INVALID", message: /migrate/ });
    const [first, ...others] = factory.migrations;
    await made.client.query(first?.sql ?? "");
    await assert.rejects(factory.open(host), {
      message: /have version 1, and version \d+ is needed/,
    });
    for (const { sql } of others) await made.client.query(sql);
    await (await factory.open(host))[Symbol.asyncDispose]();
    await made.client.query("insert into waybill_schema (version) values (99)");
    await assert.rejects(factory.open(host), { message: /Update Waybill/ });
  } finally {
    await made.close();
  }
});

test("many processes may migrate at once", async () => {
  const made = await subject();
  try {
    const stores = await Promise.all(Array.from({ length: 5 }, () => made.factory().open(host)));
    for (const store of stores) await store[Symbol.asyncDispose]();
    const { rows } = await made.client.query("select version from waybill_schema order by version");
    assert.deepEqual(
      rows,
      postgres({ url: "postgres://localhost/any" }).migrations.map(({ version }) => ({ version })),
    );
  } finally {
    await made.close();
  }
});

test("a handler cannot end its transaction, and a statement that failed in silence is no success", async () => {
  const made = await subject();
  const store = await made.factory().open(host);
  try {
    const endings = [
      "commit",
      " ROLLBACK",
      "begin",
      "end",
      "start transaction",
      "/* now */ commit",
      "-- now\ncommit",
      "insert into effect values ('ghost'); commit",
    ];
    for (const text of endings)
      await assert.rejects(
        store.transaction(async ({ client }) => client.query(text)),
        { code: "NOT_SUPPORTED" },
        text,
      );
    const swallowed = store.transaction(async ({ client }) => {
      await made.write(client, "a");
      await client.query("select * from nowhere").catch(() => undefined);
    });
    await assert.rejects(swallowed, { code: "STORAGE_FAILED", message: /savepoint/ });
    await store.transaction(async ({ client }) => {
      await client.query("savepoint mine");
      await client.query("select * from nowhere").catch(() => undefined);
      await client.query("rollback to mine");
      await made.write(client, "b");
    });
    await store.transaction(({ client }) =>
      client.query("insert into effect values ('c; commit'), ($$d; end$$)"),
    );
    assert.deepEqual(await made.written(), ["b", "c; commit", "d; end"]);
  } finally {
    await store[Symbol.asyncDispose]();
    await made.close();
  }
});

test("more transactions than connections wait for their turn, and whoever sets a bound is told", async () => {
  const made = await subject({ connectionsMax: 2 });
  const store = await made.factory().open(host);
  try {
    const may = Promise.withResolvers<void>();
    const slow = [1, 2].map(() => store.transaction(() => may.promise));
    await assert.rejects(
      store.transaction(() => 1, { waitMsMax: 20 }),
      { code: "STORAGE_BUSY" },
    );
    const patient = store.transaction(() => 2);
    may.resolve();
    assert.equal(await patient, 2);
    await Promise.all(slow);
  } finally {
    await store[Symbol.asyncDispose]();
    await made.close();
  }
});

test("a server that is not there is named, without the password", async () => {
  const url = "postgres://someone:secret@127.0.0.1:1/nothing";
  await assert.rejects(postgres({ url }).open(host), (error: Error & { code?: string }) => {
    assert.equal(error.code, "STORAGE_FAILED");
    assert.doesNotMatch(error.message, /secret/);
    return true;
  });
  assert.throws(() => postgres({ url: "mysql://x" }), { code: "OPTION_INVALID" });
});
