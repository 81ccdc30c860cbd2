import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { systemEnvironment } from "@waybill/core";
import { openDatabase } from "./database.ts";
import { folder, open, toQueue, topology } from "../fixture.test.support.ts";
import { schemaVersion } from "./migrations.ts";
import { settingsOf } from "../options.ts";
import { pragma } from "./pragma.ts";

async function refused(context: TestContext, directory: string, words: RegExp): Promise<void> {
  const file = join(directory, "waybill.db");
  const before = readFileSync(file);
  await assert.rejects(open(context, directory), (error: { code?: string; message: string }) => {
    assert.equal(error.code, "STORAGE_INVALID");
    assert.ok(error.message.includes(file), error.message);
    assert.match(error.message, words);
    return true;
  });
  assert.deepEqual(readFileSync(file), before);
  assert.deepEqual(readdirSync(directory), ["waybill.db"]);
}

test("every open uses a write-ahead log and says power-loss; SQLite itself syncs what keeps the file whole", async (context) => {
  const directory = folder(context);
  for (const _ of [1, 2]) {
    const { db } = await openDatabase(settingsOf({ directory }), systemEnvironment);
    assert.equal(pragma(db, "synchronous"), 1);
    assert.equal(pragma(db, "journal_mode"), "wal");
    db.close();
  }
  assert.equal((await open(context, directory)).capabilities.durability, "power-loss");
});

test("NORMAL comes by option only, and says process-crash", async (context) => {
  const directory = folder(context);
  assert.equal(
    (await open(context, directory, { synchronous: "normal" })).capabilities.durability,
    "process-crash",
  );
});

test("a file that is no database is refused by name and left untouched", async (context) => {
  const directory = folder(context);
  writeFileSync(join(directory, "waybill.db"), "my diary ".repeat(40));
  await refused(context, directory, /not a file of this broker/);
});

test("somebody else's database is refused by name and left untouched", async (context) => {
  const directory = folder(context);
  const db = new DatabaseSync(join(directory, "waybill.db"));
  db.exec("create table customer(name text); insert into customer values ('Ada')");
  db.close();
  await refused(context, directory, /not a file of this broker/);
});

test("a file of a newer release is refused by name and left untouched", async (context) => {
  const directory = folder(context);
  await (await open(context, directory))[Symbol.asyncDispose]();
  const db = new DatabaseSync(join(directory, "waybill.db"));
  db.exec(`pragma user_version = ${schemaVersion + 1}; pragma journal_mode = delete`);
  db.close();
  for (const name of readdirSync(directory))
    if (name !== "waybill.db") (await import("node:fs")).rmSync(join(directory, name));
  await refused(context, directory, new RegExp(`schema version ${schemaVersion + 1}`));
});

test("a file that was half made when power failed is made again", async (context) => {
  const directory = folder(context);
  const file = join(directory, "waybill.db");
  const db = new DatabaseSync(file);
  // Without room in its cache SQLite writes pages before the end of the transaction.
  db.exec("pragma cache_size = 1; pragma cache_spill = 1; begin exclusive");
  db.exec("create table half(made text); insert into half values (hex(randomblob(50000)))");
  const left = ["waybill.db", "waybill.db-journal"].map((name) => ({
    name,
    bytes: readFileSync(join(directory, name)),
  }));
  db.close();
  const after = folder(context);
  for (const { name, bytes } of left) writeFileSync(join(after, name), bytes);
  assert.ok((left[0]?.bytes.length ?? 0) > 4096, "pages were written");
  const transport = await open(context, after);
  await transport.declare(topology({ queues: [{ name: "orders" }] }));
  await transport.send([toQueue("orders", "one")]);
});

test("a damaged file is refused by name", async (context) => {
  const directory = folder(context);
  const transport = await open(context, directory);
  await transport.declare(topology({ queues: [{ name: "orders" }] }));
  await transport.send([toQueue("orders", "one")]);
  await transport[Symbol.asyncDispose]();
  const file = join(directory, "waybill.db");
  const bytes = readFileSync(file);
  bytes.fill(0xff, 100, 4096);
  writeFileSync(file, bytes);
  await assert.rejects(open(context, directory), { code: "STORAGE_INVALID" });
});

test("many that open a new folder at once get one broker", async (context) => {
  const directory = folder(context);
  const transports = await Promise.all(Array.from({ length: 8 }, () => open(context, directory)));
  const [first, ...others] = transports;
  await first?.declare(topology({ queues: [{ name: "orders" }] }));
  for (const other of others) await other.send([toQueue("orders", "hello")]);
  const [state] = (await first?.inspection.addresses()) ?? [];
  assert.equal(state?.ready, 7);
});

test("options are checked before anything is opened", () => {
  for (const options of [
    { directory: "" },
    { directory: "x", quotaBytes: 5 },
    { directory: "x", bodyBytesMax: 0.5 },
    { directory: "x", synchronous: "off" as "full" },
  ]) {
    assert.throws(() => settingsOf(options), { code: "OPTION_INVALID" });
  }
});
