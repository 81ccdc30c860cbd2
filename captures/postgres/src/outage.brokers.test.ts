import assert from "node:assert/strict";
import { fork } from "node:child_process";
import { once } from "node:events";
import { after, test } from "node:test";
import { TcpFaultProxy } from "@waybill/testkit";
import { type CapturedTable, capture, captured } from "./index.ts";
import type { LargeReport } from "./large.fixture.ts";
import { ownServer } from "./server.fixture.ts";
import { Changes, start, until } from "./subject.fixture.ts";
import { reallyWait } from "./waiting.fixture.ts";

const server = await ownServer({ wal_sender_timeout: "4s" });
after(() => server[Symbol.asyncDispose]());

const numbered = (table: string): CapturedTable =>
  captured(table, {
    columns: { n: "number" },
    stream: Changes,
    map: (change) => ({ ...change }),
  });

test("while the broker is away it waits, for longer than the server waits for a silent reader, and then all comes in order", async () => {
  await server.query("create table away (n int primary key)");
  await using run = await start(
    capture("away", { url: server.url, snapshot: "never", tables: [numbered("away")] }),
  );
  await until("it captures", async () => (await run.state()) === "capturing");
  const [before] = await server.query("select pid from pg_stat_replication");
  run.gate.isOpen = false;
  await server.query("insert into away select generate_series(1, 20000)");
  await until("it is refused", () => run.gate.refused > 2);
  const health = await run.bus.health();
  assert.match(health.reasons.join(), /the broker does not take .*The broker is away/);
  await reallyWait(9_000);
  assert.deepEqual(
    (await server.query("select pid from pg_stat_replication"))[0],
    before,
    "the server has kept the line, for it was answered",
  );
  const [slot] = await server.query(
    "select confirmed_flush_lsn < pg_current_wal_lsn() as behind from pg_replication_slots where slot_name = 'waybill_away'",
  );
  assert.equal(slot?.["behind"], true, "nothing is confirmed that the broker has not taken");
  run.gate.isOpen = true;
  await until(
    "all came",
    () => run.seen.length >= 20_000,
    () => run.seen.length,
  );
  assert.deepEqual(
    run.seen.map(({ row }) => row?.["n"]),
    Array.from({ length: 20_000 }, (_, index) => index + 1),
  );
  await until("it is well again", async () => (await run.bus.health()).status === "up");
});

test("a server that is stopped in order while the broker is away does not wait for the capture, and what was written comes when both are back", async () => {
  await server.query("create table stopped (n int primary key)");
  await using run = await start(
    capture("stopped", { url: server.url, snapshot: "never", tables: [numbered("stopped")] }),
  );
  await until("it captures", async () => (await run.state()) === "capturing");
  run.gate.isOpen = false;
  await server.query("insert into stopped select generate_series(1, 100)");
  await until("it is refused", () => run.gate.refused > 0);
  const begun = performance.now();
  await server.restart("SIGINT");
  assert.ok(performance.now() - begun < 30_000, "it stopped");
  await server.query("insert into stopped select generate_series(101, 200)");
  run.gate.isOpen = true;
  await until("it captures", async () => (await run.state()) === "capturing");
  const numbers = (): number[] => [...new Set(run.seen.map(({ row }) => Number(row?.["n"])))];
  await until(
    "all came",
    () => numbers().length === 200,
    () => numbers().length,
  );
  assert.deepEqual(
    numbers(),
    Array.from({ length: 200 }, (_, index) => index + 1),
  );
});

test("a server that crashes and a line that breaks: it begins again, nothing is lost, repeats keep their ids", async () => {
  await server.query("create table crashed (n int primary key)");
  await using proxy = await TcpFaultProxy.listen({ port: Number(new URL(server.url).port) });
  const url = server.url.replace(/:\d+\//, `:${proxy.port}/`);
  await using run = await start(
    capture("crashed", { url, snapshot: "never", tables: [numbered("crashed")] }),
  );
  let written = 0;
  const write = async (): Promise<void> => {
    await server.query(
      `insert into crashed select generate_series(${written + 1}, ${written + 500})`,
    );
    written += 500;
  };
  const faults: readonly (() => Promise<void>)[] = [
    async () => proxy.resetAfter(20_000, "toClient"),
    async () => proxy.resetAfter(1, "toServer"),
    async () => server.restart("SIGQUIT"),
  ];
  for (const fault of faults) {
    await until("it captures", async () => (await run.state()) === "capturing");
    await fault();
    await write();
  }
  const numbers = (): number[] => [...new Set(run.seen.map(({ row }) => Number(row?.["n"])))];
  await until(
    "all came",
    () => numbers().length === written,
    () => numbers().length,
  );
  assert.deepEqual(
    numbers(),
    Array.from({ length: written }, (_, index) => index + 1),
  );
  const ids = Map.groupBy(run.seen, ({ row }) => row?.["n"]);
  for (const copies of ids.values()) assert.equal(new Set(copies.map(({ id }) => id)).size, 1);
});

test("a transaction of 100,000 rows of 1 kB passes through a heap of 64 MB, the broker away at first", async (t) => {
  await server.query("create table huge (n int primary key, text text not null)");
  const script = new URL("large.fixture.ts", import.meta.url).pathname;
  const child = fork(script, [server.url], {
    execArgv: [
      ...process.execArgv.filter((each) => !each.startsWith("--test")),
      "--max-old-space-size=64",
    ],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const exited = once(child, "exit");
  const told = async (): Promise<unknown> =>
    Promise.race([
      once(child, "message").then(([message]) => message as unknown),
      exited.then(([code, signal]) => {
        throw new Error(`It ended: ${String(code)} ${String(signal)}`);
      }),
    ]);
  assert.equal(await told(), "capturing");
  await server.query(
    "insert into huge select n, repeat(md5(n::text), 32) from generate_series(1, 100000) n",
  );
  child.send("open");
  const report = (await told()) as LargeReport;
  t.diagnostic(JSON.stringify(report));
  assert.equal(report.count, 100_000);
  assert.equal(report.unordered, 0);
  assert.equal(report.ids, 100_000);
  await exited;
});
