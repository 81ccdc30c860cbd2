import assert from "node:assert/strict";
import { after, test } from "node:test";
import { event } from "@waybill/contracts";
import { WaybillError, connect } from "@waybill/core";
import { type CaptureOptions, type CaptureService, capture, captured } from "./index.ts";
import { ownServer } from "./server.fixture.ts";
import { Changes, Gate, recorder, start, until } from "./subject.fixture.ts";

const server = await ownServer({ max_slot_wal_keep_size: "32MB", max_wal_size: "32MB" });
after(() => server[Symbol.asyncDispose]());
const { url } = server;

function made(
  name: string,
  tables: readonly string[],
  options: Partial<CaptureOptions<[]>> = {},
): CaptureService {
  return capture(name, {
    url,
    ...options,
    tables: tables.map((table) =>
      captured(table, {
        columns: { n: "number" },
        stream: Changes,
        map: (change) => ({ ...change }),
      }),
    ),
  });
}

test("a log that does not hold rows is refused with what to set", async () => {
  await using plain = await ownServer({ wal_level: "replica" });
  await plain.query("create table t (n int primary key)");
  await assert.rejects(start(made("replica", ["t"], { url: plain.url })), {
    code: "NOT_SUPPORTED",
    message: /wal_level is replica.*alter system set wal_level = 'logical'/,
  });
});

test("all that does not fit the tables is told at once, and a table whose writers would be refused is never published", async () => {
  await server.query(
    "create table nokey (n int); create table wrong (m int primary key); create table kind (n text primary key); create unlogged table quick (n int primary key); create view seen as select 1 as n",
  );
  await server.query("insert into nokey values (1)");
  await assert.rejects(
    start(made("faults", ["nokey", "wrong", "kind", "quick", "seen", "nowhere"])),
    (error: unknown) => {
      assert.ok(error instanceof WaybillError);
      assert.equal(error.code, "WIRING_INVALID");
      const faults = error.details["faults"] as string[];
      assert.equal(faults.length, 6, faults.join("\n"));
      for (const [index, wanted] of [
        /public\.nokey has no primary key.*replica identity full/,
        /public\.wrong has no column "n"; it has m/,
        /"n" of public\.kind is no number/,
        /public\.quick is unlogged/,
        /public\.seen is no table/,
        /no table public\.nowhere/,
      ].entries())
        assert.match(faults[index] ?? "", wanted);
      return true;
    },
  );
  await server.query("update nokey set n = 2");
});

test("a user without rights is told which; who applies the printed SQL by hand needs no more", async () => {
  await server.query(
    "create table owned (n int primary key); create role plain login; create role reader login replication",
  );
  const as = (user: string, options: Partial<CaptureOptions<[]>> = {}): CaptureService =>
    made("owned", ["owned"], {
      url: url.replace("postgres@", `${user}@`),
      snapshot: "never",
      ...options,
    });
  const gate = new Gate();
  // What is verified here is the database, so the broker has what it needs.
  await (await connect({ transport: gate.transport, services: [recorder([])] })).close();
  for (const user of ["plain", "reader"])
    await assert.rejects(start(as(user)), {
      code: "UNAUTHORISED",
      message: /REPLICATION.*capture\.sql/,
    });
  const absent = {
    code: "WIRING_INVALID",
    message: /publication waybill_owned is not there.*create publication/,
  };
  await assert.rejects(start(as("reader"), { gate, declare: "verify" }), absent);
  const [publication, slot] = as("reader")
    .sql.split("\n")
    .filter((line) => !/^(--|$)/.test(line));
  await server.query(publication ?? "");
  await assert.rejects(start(as("reader"), { gate, declare: "verify" }), {
    code: "WIRING_INVALID",
    message: /no slot "waybill_owned".*pg_create_logical_replication_slot/,
  });
  await server.query(slot ?? "");
  await using run = await start(as("reader"), { gate, declare: "verify" });
  await until("it captures", async () => (await run.state()) === "capturing");
  await server.query("insert into owned values (1)");
  await until("it came", () => run.seen.length === 1);
  // A snapshot reads the table, and that was not granted.
  await server.query("create publication waybill_unread for table owned");
  await using unread = await start(
    made("unread", ["owned"], { url: url.replace("postgres@", "reader@") }),
  );
  await until("it halts", async () => (await unread.state()) === "halted");
  assert.match(
    (await unread.bus.health()).reasons.join(),
    /permission denied for table owned.*SELECT/,
  );
  await server.query("grant select on owned to reader");
  await until("it goes on by itself", async () => (await unread.state()) === "capturing");
  await until("the row is read", () => unread.seen.length === 1);
});

test("rows that a policy hides from the user are an error of the snapshot, and not left out", async () => {
  await server.query(
    "create table hidden (n int primary key); insert into hidden values (1); alter table hidden enable row level security; create role blind login replication; grant select on hidden to blind; create publication waybill_hidden for table hidden",
  );
  await using run = await start(
    made("hidden", ["hidden"], { url: url.replace("postgres@", "blind@") }),
  );
  await until("it halts", async () => (await run.state()) === "halted");
  assert.match((await run.bus.health()).reasons.join(), /row-level security/);
});

test("a slot that holds back the log is warned of with its size, and one that the server gave up is failed and not made anew", async () => {
  await server.query("create table held (n int primary key)");
  const bounded = made("held", ["held"], { snapshot: "never", retainedBytesMax: 4 * 1024 ** 2 });
  const run = await start(bounded);
  await until("it captures", async () => (await run.state()) === "capturing");
  run.gate.isOpen = false;
  await server.query("insert into held values (1)");
  await server.query(
    "create table bulk as select repeat('x', 1000) as text from generate_series(1, 8000)",
  );
  await until("it is told", async () => {
    const { status, reasons } = await run.bus.health();
    return (
      status !== "up" &&
      /keeps \d+ (KiB|MiB) of its log for the slot "waybill_held"/.test(reasons.join())
    );
  });
  assert.ok(run.log.lines.some((line) => /^warn .*keeps .* of its log/.test(line)));
  await run.bus.close();
  for (let round = 0; round < 8; round += 1)
    await server.query("insert into bulk values ('more'); select pg_switch_wal()");
  await server.query("checkpoint");
  const lost =
    "select 1 from pg_replication_slots where slot_name = 'waybill_held' and wal_status = 'lost'";
  assert.equal((await server.query(lost)).length, 1);
  await using late = await start(bounded);
  await until("it is failed", async () => (await late.bus.health()).status === "failed");
  await until("it says what was lost", async () =>
    /slot "waybill_held" is lost.*Changes are gone.*snapshot/s.test(
      (await late.bus.health()).reasons.join(),
    ),
  );
  await until("it has tried", async () => (await late.state()) === "halted");
  assert.deepEqual(late.seen, []);
});

test("a slot that vanishes under its reader halts it, and is not made anew in silence", async () => {
  await server.query("create table gone (n int primary key)");
  await using run = await start(made("gone", ["gone"], { snapshot: "never" }));
  await until("it captures", async () => (await run.state()) === "capturing");
  await server.query(
    "select pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'waybill_gone'",
  );
  await until("it is dropped", async () => {
    await server.query("select pg_drop_replication_slot('waybill_gone')").catch(() => undefined);
    return (
      (await server.query("select 1 from pg_replication_slots where slot_name = 'waybill_gone'"))
        .length === 0
    );
  });
  await until("it halts", async () => (await run.state()) === "halted");
  assert.match(
    (await run.bus.health()).reasons.join(),
    /had the slot "waybill_gone", and it is not there any more/,
  );
});

test("options that cannot work are refused when they are written", () => {
  const Changed = event("x.changed", { payload: Changes.item });
  const table = captured("t", { columns: { n: "number" }, event: Changed, map: () => undefined });
  const wrong: readonly [object, RegExp][] = [
    [{ url: "mysql://x" }, /url/],
    [{ tables: [] }, /tables/],
    [{ tables: [table, table] }, /twice/],
    [{ slot: "Not-legal" }, /slot/],
    [{ slot: "x".repeat(51) }, /slot/],
    [{ publication: "" }, /publication/],
    [{ snapshot: "later" }, /snapshot/],
    [{ batchMax: 0 }, /batchMax/],
    [{ retainedBytesMax: 0.5 }, /retainedBytesMax/],
    [{ connectMsMax: 1 }, /connectMsMax/],
  ];
  for (const [options, message] of wrong)
    assert.throws(() => capture("x", { url, tables: [table], ...options }), {
      code: "OPTION_INVALID",
      message,
    });
  const columns = { n: "number" } as const;
  const map = (): undefined => undefined;
  for (const [name, options] of [
    ["a.b.c", {}],
    ["", {}],
    ["t", { columns: {} }],
    ["t", { columns: { n: "integer" } }],
    ["t", { mayBeAbsent: ["m"] }],
    ["t", { map: 7 }],
    ["t", { event: undefined }],
  ] as const)
    assert.throws(
      () => captured(name, { columns, event: Changed, map, ...options } as never),
      { code: "OPTION_INVALID" },
      JSON.stringify([name, options]),
    );
});
