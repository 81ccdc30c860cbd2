import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, command } from "@waybill/contracts";
import { connect, memory, service } from "@waybill/core";
import { fakeEnvironment, testBus } from "@waybill/testkit";
import { sqlite } from "./index.ts";
import { subject } from "./subject.fixture.ts";

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const text: Schema<string> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as string }) },
};
const Work = command("sqlite.work", { input: text });

test("the inbox forgets by age, in steps, and what it forgot can come again", async () => {
  const made = subject({ inboxMs: 60_000 });
  const environment = fakeEnvironment();
  const store = await made
    .factory()
    .open({ environment, logger: silent, committed: () => undefined });
  const claim = (message: string): Promise<boolean> =>
    store.transaction((transaction) => transaction.claim("orders", message));
  for (let index = 0; index < 1_500; index++) await claim(`old-${index}`);
  await environment.advance(60_001);
  await claim("new");
  assert.equal((await store.outbox.renew(1_000)).more, true);
  assert.equal((await store.outbox.renew(1_000)).more, false);
  assert.deepEqual([await claim("old-0"), await claim("new")], [true, false]);
  await store[Symbol.asyncDispose]();
  await made.close();
});

test("a file without Waybill's tables is refused where migrating is forbidden, and taken after it was done by hand", async () => {
  const made = subject({ migrate: false });
  const host = { environment: fakeEnvironment(), logger: silent, committed: () => undefined };
  await assert.rejects(made.factory().open(host), { code: "STORAGE_INVALID", message: /migrate/ });
  const { migrations } = sqlite({ file: made.file });
  const [first, ...others] = migrations;
  made.db.exec(first?.sql ?? "");
  await assert.rejects(made.factory().open(host), {
    message: /have version 1, and version \d+ is needed/,
  });
  for (const { sql } of others) made.db.exec(sql);
  await (await made.factory().open(host))[Symbol.asyncDispose]();
  made.db.exec("insert into waybill_schema (version) values (99)");
  await assert.rejects(made.factory().open(host), { message: /Update Waybill/ });
  await made.close();
});

test("what would end or weaken the transaction is refused in it, and costs only that handler", async () => {
  const made = subject();
  const host = { environment: fakeEnvironment(), logger: silent, committed: () => undefined };
  const store = await made.factory().open(host);
  const attempts = [
    "commit",
    "rollback",
    "savepoint mine",
    "release waybill",
    "begin",
    `attach '${made.file}' as other`,
    "pragma synchronous = off",
    "insert into effect values ('x'); commit",
  ];
  for (const sql of attempts) {
    const attempt = store.transaction(({ client }) => client.exec(sql));
    await assert.rejects(attempt, { code: "ERR_SQLITE_ERROR" }, sql);
  }
  await store.transaction(({ client }) => made.write(client, "a"));
  assert.deepEqual(await made.written(), ["a"]);
  await store[Symbol.asyncDispose]();
  await made.close();
});

test("a transaction inside another of the same store ends with STORAGE_BUSY instead of waiting for ever", async () => {
  const made = subject();
  const environment = fakeEnvironment();
  const store = await made
    .factory()
    .open({ environment, logger: silent, committed: () => undefined });
  const outer = store.transaction(() => store.transaction(() => 1, { waitMsMax: 10_000 }));
  const refused = assert.rejects(outer, { code: "STORAGE_BUSY" });
  await environment.advance(10_001);
  await refused;
  await store[Symbol.asyncDispose]();
  await made.close();
});

test("while another process writes, transactions wait; too long is STORAGE_BUSY, and nothing is stored", async () => {
  const made = subject({ busyMsMax: 200 });
  const environment = fakeEnvironment();
  const store = await made
    .factory()
    .open({ environment, logger: silent, committed: () => undefined });
  made.db.exec("begin immediate");
  const waiting = store.transaction(({ client }) => made.write(client, "a"));
  const refused = assert.rejects(waiting, { code: "STORAGE_BUSY", retryable: true });
  await environment.advance(300);
  await refused;
  made.db.exec("commit");
  await store.transaction(({ client }) => made.write(client, "b"));
  assert.deepEqual(await made.written(), ["b"]);
  await store[Symbol.asyncDispose]();
  await made.close();
});

test("a store in memory serves tests on a clock that stands still", async () => {
  const store = sqlite({ file: ":memory:" });
  const seen: unknown[] = [];
  const working = service("working", { store }).handle(Work, (name, { transaction }) => {
    transaction.exec("create table if not exists effect (text text)");
    transaction.prepare("insert into effect values (?)").run(name);
    seen.push(transaction.prepare("select count(*) as n from effect").get()?.["n"]);
  });
  await using bus = await testBus([working]);
  await bus.send(Work, "a");
  await bus.send(Work, "b");
  await bus.settled();
  assert.deepEqual(seen, [1, 2]);
});

test("batches, state with the broker, and what is no store are refused when the bus connects", async () => {
  const store = sqlite({ file: ":memory:" });
  const Keyed = command("sqlite.keyed", { input: text, key: (value) => value });
  const services = [
    service("working", { store })
      .handleBatch(Work, () => undefined, { batch: { size: 2, maxAgeMs: 1 } })
      .handle(Keyed, () => undefined, { state: text }),
    service("other", { store: {} as typeof store }),
  ];
  await assert.rejects(connect({ transport: memory(), services }), (error: Error) => {
    assert.match(error.message, /takes batches/);
    assert.match(error.message, /keeps state with the broker/);
    assert.match(error.message, /a store that is none/);
    return true;
  });
  assert.throws(() => sqlite({ file: "" }), { code: "OPTION_INVALID" });
  assert.throws(() => sqlite({ file: "x", inboxMs: 5 }), { code: "OPTION_INVALID" });
});

test("a file that is no database is named as what it is", async () => {
  const made = subject();
  const host = { environment: fakeEnvironment(), logger: silent, committed: () => undefined };
  await assert.rejects(sqlite({ file: "/no/such/folder/x.db" }).open(host), {
    code: "STORAGE_FAILED",
  });
  await made.close();
});
