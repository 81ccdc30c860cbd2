import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import { gunzipSync } from "node:zlib";
import { type Delivery, equationOf } from "@waybill/core";
import { folder, open, probe, toQueue, toStream, until } from "../fixture.test.support.ts";
import { migrate, migrations, schemaVersion } from "./migrations.ts";
import { pragma } from "./pragma.ts";

/** A folder with a file that an older version wrote: see the first tests for what is in it. */
function oldFolder(
  context: TestContext,
  version: 1 | 6 | 9 = 1,
): { readonly directory: string; readonly file: string } {
  const directory = folder(context);
  const file = join(directory, "waybill.db");
  const packed = readFileSync(new URL(`../fixtures/version-${version}.db.gz`, import.meta.url));
  writeFileSync(file, gunzipSync(packed));
  return { directory, file };
}

function inspect<T>(file: string, look: (db: DatabaseSync) => T): T {
  const db = new DatabaseSync(file);
  try {
    return look(db);
  } finally {
    db.close();
  }
}

test("a file of version 1 is brought up to date when it is opened, with everything in it", async (context) => {
  const { directory, file } = oldFolder(context);
  assert.equal(
    inspect(file, (db) => pragma(db, "user_version")),
    1,
  );
  const transport = await open(context, directory);
  const states = await transport.inspection.addresses();
  const counts = Object.fromEntries(
    states.map(({ address, ready, scheduled, deferred, dead }) => [
      address,
      [ready, scheduled, deferred, dead].join(),
    ]),
  );
  assert.deepEqual(counts, {
    orders: "2,1,1,1",
    "placed/": "0,0,0,1",
    "placed/eu": "1,0,0,0",
    "readings@group": "3,0,0,0",
  });
  const books = await transport.inspection.ledger();
  assert.deepEqual(
    Object.fromEntries(books.map((book) => [book.address, [book.opening, book.balanced].join()])),
    {
      orders: "5,true",
      "placed/": "1,true",
      "placed/eu": "1,true",
      "readings@group": "0,true",
      readings: "0,true",
    },
  );
  const [scheduled] = await transport.inspection.list({ state: "scheduled", limit: 5 });
  assert.equal(await transport.inspection.cancel([scheduled?.envelope.header.id ?? ""]), 1);
  await transport.send([toQueue("orders", "new"), toStream("readings", "f", "one key")]);
  const orders = probe(transport, { kind: "queue", name: "orders" });
  await until("three orders", () => orders.deliveries.length === 3);
  assert.deepEqual(orders.bodies().toSorted(), ["new", "ready", "retried"]);
  assert.equal(orders.deliveries.find(({ failure }) => failure !== undefined)?.attempt, 2);
  const group = probe(transport, { kind: "stream", name: "readings", group: "group" });
  await until("four readings", () => group.deliveries.length === 4);
  assert.deepEqual(group.bodies(), ["c", "d", "e", "f"]);
  for (const delivery of [...orders.deliveries, ...group.deliveries])
    assert.equal(await delivery.settle({ kind: "complete" }), "settled");
  const after = await transport.inspection.ledger();
  assert.deepEqual(
    after
      .filter(({ address }) => address === "orders" || address === "readings@group")
      .map(({ accepted, completed, balanced }) => [accepted, completed, balanced].join()),
    ["6,3,true", "4,4,true"],
  );
  await transport[Symbol.asyncDispose]();
  assert.equal(
    inspect(file, (db) => pragma(db, "user_version")),
    schemaVersion,
  );
});

test("the books of a file of version 6 begin with what stands in it, by type, and balance from then on", async (context) => {
  const { directory } = oldFolder(context, 6);
  const transport = await open(context, directory);
  const { inspection } = transport;
  const texts = async (): Promise<Record<string, string>> =>
    Object.fromEntries(
      (await inspection.ledger()).map((entry) => [entry.address, equationOf(entry)]),
    );
  const books = await inspection.ledger();
  assert.deepEqual(await texts(), {
    orders: "6 = dead 1 + deferred 1 + ready 3 + scheduled 1",
    keyed: "4 = dead 1 + ready 3",
    once: "0 = nothing",
    "placed/": "1 = dead 1",
    "placed/eu": "1 = ready 1",
    "readings@group": "4 = dead 1 + ready 3",
    readings: "5 = retained 5",
  });
  const types = books[0]?.types.map((each) => `${each.type}: ${equationOf(each)}`);
  assert.deepEqual(types?.toSorted(), [
    "order.cancel: 2 = ready 2",
    "order.place: 3 = dead 1 + deferred 1 + ready 1",
    "test.message: 1 = scheduled 1",
  ]);
  for (const state of ["dead", "deferred"] as const) {
    const aside = await inspection.list({ state, limit: 10 });
    await inspection.replay(aside.map(({ handle }) => handle));
  }
  const sources = [
    { kind: "queue", name: "orders" },
    { kind: "queue", name: "keyed" },
    { kind: "stream", name: "readings", group: "group" },
  ] as const;
  const onDelivery = (delivery: Delivery): void => void delivery.settle({ kind: "complete" });
  for (const source of sources) probe(transport, source, { onDelivery });
  const handled = {
    orders: "6 = completed 5 + scheduled 1",
    keyed: "4 = completed 4",
    once: "0 = nothing",
    "placed/": "1 = dead 1",
    "placed/eu": "1 = ready 1",
    "readings@group": "4 = completed 4",
    readings: "5 = retained 5",
  };
  await until("all is handled", async () => isDeepStrictEqual(await texts(), handled));
});

test("a session that waits for its dead letter in a file of version 9 goes on when that is replayed or discarded", async (context) => {
  const { directory, file } = oldFolder(context, 9);
  const transport = await open(context, directory);
  const { inspection } = transport;
  const sources = ["keyed", "kept"].map((name) => ({ kind: "queue", name }) as const);
  const probes = sources.map((source) =>
    probe(transport, source, {
      onDelivery: (delivery) => void delivery.settle({ kind: "complete" }),
    }),
  );
  const bodies = (): readonly string[] => probes.map((each) => each.bodies().join(" "));
  await until("the other sessions", () => isDeepStrictEqual(bodies(), ["b1 b2", "b1 b2"]));
  const dead = await inspection.list({ state: "dead", limit: 10 });
  assert.deepEqual(
    dead.map(({ address, origin, envelope }) => [address, origin, envelope.body].join()),
    ["keyed,,a1", "letters,kept,a1"],
  );
  assert.equal(await inspection.replay([dead[0]?.handle ?? ""]), 1);
  assert.equal(await inspection.discard([dead[1]?.handle ?? ""]), 1);
  await until("their rest", () => isDeepStrictEqual(bodies(), ["b1 b2 a1 a2", "b1 b2 a2"]));
  await transport[Symbol.asyncDispose]();
  assert.deepEqual(
    inspect(file, (db) => db.prepare("select * from parked").all()),
    [],
  );
});

test("a migrated file has the schema of a new one", async (context) => {
  const { directory, file } = oldFolder(context);
  const fresh = folder(context);
  for (const each of [directory, fresh]) await (await open(context, each))[Symbol.asyncDispose]();
  const shape = (db: DatabaseSync): unknown =>
    db.prepare("select name, sql from sqlite_master order by name").all();
  assert.deepEqual(inspect(file, shape), inspect(join(fresh, "waybill.db"), shape));
});

test("a migration that fails half way leaves the file as it was", (context) => {
  const { file } = oldFolder(context);
  const before = readFileSync(file);
  const steps = [...migrations, "create table half(a); create table half(a)"];
  inspect(file, (db) =>
    assert.throws(() => migrate(db, { file, now: 0, steps }), /half already exists/),
  );
  assert.deepEqual(readFileSync(file), before);
});

test("a process that is killed in a migration leaves a file that the next one migrates", async (context) => {
  const { directory, file } = oldFolder(context);
  const script = `
    import { DatabaseSync } from "node:sqlite";
    import { migrate, migrations } from ${JSON.stringify(new URL("./migrations.ts", import.meta.url).href)};
    const db = new DatabaseSync(${JSON.stringify(file)});
    db.exec("pragma journal_mode = wal; pragma cache_size = 1");
    db.function("die", () => process.kill(process.pid, "SIGKILL"));
    const grow = "create table half(a); insert into half select zeroblob(9000) from message; select die()";
    migrate(db, { file: "", now: 0, steps: [...migrations, grow] });
  `;
  const node = ["--conditions=@waybill/source", "--input-type=module", "-e", script];
  const { signal } = spawnSync(process.execPath, node);
  assert.equal(signal, "SIGKILL");
  assert.equal(
    inspect(file, (db) => pragma(db, "user_version")),
    1,
  );
  const transport = await open(context, directory);
  const orders = (await transport.inspection.addresses()).find(({ kind }) => kind === "queue");
  assert.equal(orders?.ready, 2);
});

test("a file is not migrated while a process that knows only the older schema has it open", (context) => {
  const { directory, file } = oldFolder(context);
  const now = 1_000_000;
  inspect(file, (db) => {
    db.exec(`insert into instance(name, until) values ('old', ${now + 5_000})`);
    assert.throws(() => migrate(db, { file, now }), { code: "STORAGE_BUSY" });
    assert.equal(pragma(db, "user_version"), 1);
    migrate(db, { file, now: now + 5_000 });
    assert.equal(pragma(db, "user_version"), schemaVersion);
  });
  assert.deepEqual(readdirSync(directory), ["waybill.db"]);
});
