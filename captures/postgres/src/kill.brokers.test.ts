import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { embedded } from "@waybill/broker";
import { connect } from "@waybill/core";
import { seededRandom } from "@waybill/testkit";
import type { Plant } from "./kill.fixture.ts";
import { type OwnServer, ownServer } from "./server.fixture.ts";
import { type Seen, recorder, until } from "./subject.fixture.ts";
import { reallyWait } from "./waiting.fixture.ts";

const kills = Number(process.env["WAYBILL_CRASHES"] ?? 6);
const seed = Number(process.env["WAYBILL_SEED"] ?? 5);
const running: OwnServer = await ownServer();
after(() => running[Symbol.asyncDispose]());

const plantedKills = 3;
const plants: readonly (readonly [plant: Plant, faults: RegExp | undefined, kills: number])[] = [
  ["none", undefined, kills],
  ["confirms-early", /lost/, plantedKills],
  ["counted-ids", /two ids|one id/, plantedKills],
];

for (const [plant, wanted, times] of plants)
  test(`processes that capture are killed ${times} times, with ${plant} planted: ${wanted === undefined ? "nothing lost, in the order of commits, repeats under their ids" : `noticed as ${wanted.source}`}`, async (t) => {
    t.diagnostic(`WAYBILL_SEED=${seed}`);
    const { written, seen } = await play(plant, times);
    const faults = faultsOf(written, seen);
    t.diagnostic(
      `${written} written, ${seen.length} published, ${seen.length - new Set(seen.map(numberOf)).size} again`,
    );
    if (wanted === undefined) assert.deepEqual(faults, []);
    else assert.match(faults.join("\n"), wanted);
  });

/** An old program writes while what captures dies again and again. */
async function play(
  plant: Plant,
  times: number,
): Promise<{ written: number; seen: readonly Seen[] }> {
  const random = seededRandom(seed);
  const directory = mkdtempSync(join(tmpdir(), "waybill-capture-"));
  const old = await running.client();
  await old.query(
    "drop table if exists killed, killed_too; create table killed (n int primary key); create table killed_too (n int primary key)",
  );
  await old.query("insert into killed values (1), (2), (3)");
  const seen: Seen[] = [];
  const bus = await connect({ transport: embedded({ directory }), services: [recorder(seen)] });
  let written = 3;
  const enough = new AbortController();
  const writing = (async () => {
    while (!enough.signal.aborted) {
      await old.query("begin");
      for (let left = 1 + Math.floor(random() * 30); left > 0; left -= 1)
        await old.query(
          `insert into ${random() < 0.5 ? "killed" : "killed_too"} values (${(written += 1)})`,
        );
      await old.query("commit");
      await reallyWait(5);
    }
  })();
  try {
    for (let kill = 0; kill < times; kill += 1) {
      const child = begin(directory, plant);
      await capturing(child);
      await reallyWait(100 + random() * 600);
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      assert.deepEqual(await ended, [null, "SIGKILL"]);
    }
    enough.abort();
    await writing;
    const last = begin(directory, plant);
    await capturing(last);
    const caughtUp = `select 1 from pg_replication_slots where slot_name = 'waybill_killed' and confirmed_flush_lsn >= '${String((await running.query("select pg_current_wal_lsn() as lsn"))[0]?.["lsn"])}'`;
    await until("the slot is at the end", async () => (await running.query(caughtUp)).length === 1);
    const ended = once(last, "exit");
    last.send("close");
    await ended;
    // What is in the broker when nobody writes to it any more.
    await until("all is read", async () => {
      const position = (await bus.health()).addresses.every(({ ready }) => ready === 0);
      return position && (await settled(seen));
    });
    return { written, seen };
  } finally {
    enough.abort();
    await writing.catch(() => undefined);
    await bus.close();
    await old.query(
      "select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active; drop publication waybill_killed",
    );
    await old.end();
    rmSync(directory, { recursive: true, force: true });
  }
}

async function settled(seen: readonly Seen[]): Promise<boolean> {
  const before = seen.length;
  await reallyWait(500);
  return seen.length === before;
}

function numberOf({ row }: Seen): number {
  return Number(row?.["n"]);
}

/** What is wrong with what was published of the rows from 1 to `written`, which were committed in this order. */
function faultsOf(written: number, seen: readonly Seen[]): readonly string[] {
  const faults: string[] = [];
  const idsOf = Map.groupBy(seen, numberOf);
  const numbersOf = Map.groupBy(seen, ({ id }) => id);
  for (let n = 1; n <= written; n += 1) if (!idsOf.has(n)) faults.push(`${n} is lost`);
  // A snapshot goes table by table. What is read from the log has the order of the commits.
  const logged = new Set(seen.filter(({ kind }) => kind === "insert").map(numberOf));
  const firsts = [...logged];
  const unsorted = firsts.findIndex((n, index) => index > 0 && n < (firsts[index - 1] ?? 0));
  if (unsorted > 0) faults.push(`${firsts[unsorted]} comes after ${firsts[unsorted - 1]}`);
  for (const [n, copies] of idsOf)
    if (new Set(copies.map(({ id }) => id)).size > 1) faults.push(`${n} has two ids`);
  for (const [id, copies] of numbersOf)
    if (new Set(copies.map(numberOf)).size > 1) faults.push(`several have one id, ${id}`);
  return faults;
}

function begin(directory: string, plant: Plant): ChildProcess {
  const script = new URL("kill.fixture.ts", import.meta.url).pathname;
  return fork(script, [directory, running.url, plant], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
}

async function capturing(child: ChildProcess): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  child.once("message", () => resolve());
  await promise;
}
