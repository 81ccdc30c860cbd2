import assert from "node:assert/strict";
import { after, test } from "node:test";
import { type CaptureService, capture, captured } from "./index.ts";
import { ownServer } from "./server.fixture.ts";
import { Changes, Gate, type Seen, start, until } from "./subject.fixture.ts";
import { reallyWait } from "./waiting.fixture.ts";

const server = await ownServer();
after(() => server[Symbol.asyncDispose]());

const made = (table: string, batchMax: number): CaptureService =>
  capture(table, {
    url: server.url,
    batchMax,
    tables: [
      captured(table, {
        columns: { n: "number", v: "number" },
        stream: Changes,
        map: (change) => ({ ...change }),
      }),
    ],
  });

/** What a reader who applies the changes has in the end. */
function applied(seen: readonly Seen[]): ReadonlyMap<number, number> {
  const rows = new Map<number, number>();
  for (const { kind, row, old } of seen)
    if (kind === "delete") rows.delete(Number(old?.["n"]));
    else rows.set(Number(row?.["n"]), Number(row?.["v"]));
  return rows;
}

async function kept(table: string): Promise<ReadonlyMap<number, number>> {
  const rows = await server.query(`select n, v from ${table}`);
  return new Map(rows.map(({ n, v }) => [Number(n), Number(v)]));
}

const sorted = (rows: ReadonlyMap<number, number>): [number, number][] =>
  [...rows].toSorted(([one], [other]) => one - other);

test("a snapshot while others write: who applies what is published has what the table has", async () => {
  const old = await server.client();
  await old.query("create table moving (n int primary key, v int)");
  await old.query("insert into moving select n, 0 from generate_series(1, 5000) n");
  const enough = new AbortController();
  const writing = (async () => {
    for (let round = 1; !enough.signal.aborted; round += 1) {
      await old.query("update moving set v = $1 where n % 97 = $2", [round, round % 97]);
      await old.query("delete from moving where n = $1", [1 + (round % 5_000)]);
      await old.query("insert into moving values ($1, $2)", [5_000 + round, round]);
      await reallyWait(2);
    }
  })();
  try {
    await using run = await start(made("moving", 100));
    await until("it captures", async () => (await run.state()) === "capturing");
    await reallyWait(300);
    enough.abort();
    await writing;
    const table = await kept("moving");
    const isEqual = (): boolean =>
      JSON.stringify(sorted(applied(run.seen))) === JSON.stringify(sorted(table));
    await until("it has the same rows", isEqual, () => run.seen.length);
    assert.ok(run.seen.some(({ kind }) => kind === "read"));
    assert.ok(run.seen.some(({ kind }) => kind === "update"));
  } finally {
    enough.abort();
    await writing.catch(() => undefined);
    await old.end();
  }
});

test("a snapshot that is interrupted begins anew: rows that stayed keep their ids, the others have new ones, and no slot is left behind", async () => {
  await server.query("create table again (n int primary key, v int)");
  await server.query("insert into again select n, 0 from generate_series(1, 1000) n");
  const gate = new Gate();
  gate.closesAfter = 3;
  const first = await start(made("again", 50), { gate });
  await until("some of it is published", () => first.seen.length === 150);
  await until("it waits in its middle", () => gate.refused > 0);
  assert.equal(await first.state(), "snapshot");
  await first.bus.close();
  assert.deepEqual(
    await server.query("select slot_name from pg_replication_slots where slot_name like '%again%'"),
    [],
  );
  await server.query("update again set v = 1 where n <= 10");
  await using second = await start(made("again", 50));
  await until(
    "all is read",
    () => second.seen.length >= 1_000,
    () => second.seen.length,
  );
  await until("it captures", async () => (await second.state()) === "capturing");
  assert.equal(second.seen.length, 1_000);
  const before = new Map(first.seen.map(({ row, id }) => [row?.["n"], id]));
  for (const { row, id } of second.seen) {
    const n = Number(row?.["n"]);
    if (!before.has(n)) continue;
    if (n <= 10) assert.notEqual(id, before.get(n), `${n} has changed`);
    else assert.equal(id, before.get(n), `${n} has stayed`);
  }
});

test("a row of the snapshot that cannot be published halts it once and for all, and the transaction that read it is ended", async () => {
  await server.query("create table nulls (n int primary key, v int)");
  await server.query("insert into nulls select n, nullif(n, 400) from generate_series(1, 500) n");
  await using run = await start(made("nulls", 50));
  await until("it halts", async () => (await run.state()) === "halted");
  const { status, reasons } = await run.bus.health();
  assert.equal(status, "failed");
  assert.match(reasons.join(), /has halted: The column "v" of public\.nulls is NULL.*"number\?"/);
  const left =
    "select pid from pg_stat_activity where backend_type = 'walsender' and state like 'idle in transaction%'";
  await until("its line is closed", async () => (await server.query(left)).length === 0);
  assert.deepEqual(
    await server.query("select 1 from pg_replication_slots where slot_name like '%nulls%'"),
    [],
  );
});
