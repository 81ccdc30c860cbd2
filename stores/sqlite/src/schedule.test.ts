import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Schema, command } from "@waybill/contracts";
import { type Firing, type MissedRule, service } from "@waybill/core";
import { type TestBus, type TestBusOptions, testBus } from "@waybill/testkit";
import { sqlite } from "./index.ts";

interface Report {
  readonly due: string;
  readonly missed: number;
}
const report: Schema<Report> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as Report }) },
};
const WriteReport = command("reports.write", { input: report });
/** Five minutes before the first moment: an hour of a fake clock is 360 renewals of a lease. */
const startAt = Date.UTC(2030, 0, 1, 2, 55);
const minuteMs = 60_000;
const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

const said = ({ due, missed }: Firing): Report => ({ due: due.toISOString(), missed });

function fileOf(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "waybill-schedule-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return join(directory, "store.db");
}

interface Asked {
  readonly cron?: string;
  readonly missed?: MissedRule;
  readonly missedMax?: number;
  readonly input?: typeof said;
  /** Those that are handled. */
  readonly ids?: string[];
}

let processes = 0;

/** A process of the service that comes at `startAt`. */
function reporting(
  file: string,
  { cron = "0 3 * * *", input = said, ids = [], ...rule }: Asked = {},
  options: TestBusOptions = {},
): Promise<TestBus> {
  return testBus(
    [
      service("reporting", { sends: [WriteReport], store: sqlite({ file }) })
        .schedule("nightly", { cron, contract: WriteReport, input, ...rule })
        .handle(WriteReport, (_report, { header }) => void ids.push(header.id)),
    ],
    // Another process has other ids.
    { startAt, seed: (processes += 1), ...options },
  );
}

const dues = (bus: TestBus): readonly string[] =>
  bus.sent(WriteReport).map(({ due }) => due.slice(0, 16));

test("a schedule fires at its moments, for each with an id of its own", async (t) => {
  const ids: string[] = [];
  await using bus = await reporting(fileOf(t), { cron: "0,10 3 * * *", ids });
  await bus.advance(5 * minuteMs - 1);
  assert.deepEqual(dues(bus), []);
  await bus.advance(1);
  assert.deepEqual(dues(bus), ["2030-01-01T03:00"]);
  await bus.advance(10 * minuteMs);
  assert.deepEqual(dues(bus), ["2030-01-01T03:00", "2030-01-01T03:10"]);
  assert.deepEqual(ids, [
    "reporting.nightly@2030-01-01T03:00:00.000Z",
    "reporting.nightly@2030-01-01T03:10:00.000Z",
  ]);
});

for (const [missed, hour, month] of [
  ["last", [["2030-01-01T04:00", 5]], [["2030-02-01T04:00", 1_000]]],
  ["skip", [], []],
  [
    "all",
    [
      ["2030-01-01T03:40", 3],
      ["2030-01-01T03:50", 0],
      ["2030-01-01T04:00", 0],
    ],
    [
      ["2030-02-01T03:40", 1_000],
      ["2030-02-01T03:50", 0],
      ["2030-02-01T04:00", 0],
    ],
  ],
] as const) {
  test(`what was missed while nobody was there: ${missed}`, async (t) => {
    const file = fileOf(t);
    const asked: Asked = { cron: "*/10 * * * *", missed, missedMax: 3 };
    const told = (bus: TestBus): unknown[][] =>
      bus.sent(WriteReport).map(({ due, missed: count }) => [due.slice(0, 16), count]);
    {
      await using bus = await reporting(file, asked);
      await bus.advance(6 * minuteMs);
      assert.deepEqual(dues(bus), ["2030-01-01T03:00"]);
    }
    for (const [downMs, expected] of [
      [hourMs, hour],
      [hourMs + 31 * dayMs, month],
    ] as const) {
      // Too late for "skip", whose grace is a minute.
      const cameAt = startAt + downMs + 6 * minuteMs + 30_000;
      await using bus = await reporting(file, asked, { startAt: cameAt });
      await bus.settled();
      assert.deepEqual(told(bus), expected);
      await bus.advance(9 * minuteMs);
      assert.equal(dues(bus).at(-1)?.slice(11), "04:10");
      assert.equal(told(bus).at(-1)?.[1], 0);
    }
  });
}

test("two processes on one store fire once, and one goes on when the other ends", async (t) => {
  const file = fileOf(t);
  const cron = "*/5 * * * *";
  const one = await reporting(file, { cron });
  await using two = await reporting(file, { cron });
  for (let at = 0; at < 40; at++) {
    const both = at % 2 === 0 ? [one, two] : [two, one];
    for (const bus of both) await bus.advance(minuteMs);
  }
  assert.ok(dues(one).length > 0 && dues(two).length > 0);
  assert.equal(new Set([...dues(one), ...dues(two)]).size, 8);
  assert.equal(dues(one).length + dues(two).length, 8);
  await one.close();
  await two.advance(5 * minuteMs);
  assert.equal(dues(two).at(-1), "2030-01-01T03:40");
});

const nightly = { service: "reporting", name: "nightly" };

test("another definition takes over with what had not fired yet, and fires nothing twice", async (t) => {
  const file = fileOf(t);
  {
    await using bus = await reporting(file, { cron: "0 * * * *" });
    await bus.advance(6 * minuteMs);
    assert.deepEqual(dues(bus), ["2030-01-01T03:00"]);
  }
  {
    // Deployed at 03:01, with a moment at 03:00 too, which has fired.
    await using bus = await reporting(
      file,
      { cron: "*/30 * * * *" },
      { startAt: startAt + 6 * minuteMs },
    );
    await bus.advance(30 * minuteMs);
    assert.deepEqual(dues(bus), ["2030-01-01T03:30"]);
    assert.ok(bus.log.some(({ message }) => /has another definition now/.test(message)));
  }
  {
    // 04:00 of the old one has passed by then, and 04:15 of the new one too.
    const cameAt = startAt + 85 * minuteMs;
    await using bus = await reporting(file, { cron: "15 * * * *" }, { startAt: cameAt });
    await bus.settled();
    assert.deepEqual(dues(bus), ["2030-01-01T04:15"]);
  }
});

test("of two versions that run side by side the one that came last fires, until it is gone", async (t) => {
  const file = fileOf(t);
  const old = await reporting(file, { cron: "*/2 * * * *" });
  const fresh = await reporting(file, { cron: "1-59/2 * * * *" });
  const both = async (minutes: number): Promise<void> => {
    // Their clocks stay together: one that is a minute ahead takes the other for dead.
    for (let at = 0; at < minutes * 6; at++)
      for (const bus of [old, fresh]) await bus.advance(minuteMs / 6);
  };
  await both(10);
  assert.deepEqual(dues(old), []);
  assert.deepEqual(
    dues(fresh).map((due) => due.slice(11)),
    ["02:57", "02:59", "03:01", "03:03", "03:05"],
  );
  const takenOver = (bus: TestBus): number =>
    bus.log.filter(({ message }) => /another definition/.test(message)).length;
  assert.deepEqual([takenOver(old), takenOver(fresh)], [0, 1]);
  await fresh.close();
  await old.advance(5 * minuteMs);
  const late = dues(old).map((due) => due.slice(11));
  assert.deepEqual(late.slice(-2), ["03:08", "03:10"]);
  await old.close();
});

test("a schedule that nobody declares any more is retired, is shown, and comes back when it is declared again", async (t) => {
  const file = fileOf(t);
  await (await reporting(file)).close();
  const plain = service("reporting", { sends: [WriteReport], store: sqlite({ file }) });
  {
    await using bus = await testBus([plain], { startAt, seed: 1_000 });
    await bus.advance(3 * minuteMs);
    const [status] = await bus.schedules.list();
    assert.deepEqual([status?.state, status?.nextAt], ["retired", undefined]);
    assert.ok(bus.log.some(({ message }) => /declared by no process any more/.test(message)));
    await bus.advance(5 * minuteMs);
    assert.deepEqual(dues(bus), []);
  }
  {
    await using bus = await reporting(file, { cron: "*/5 * * * *" }, { startAt: startAt + hourMs });
    await bus.advance(5 * minuteMs);
    assert.deepEqual(dues(bus), ["2030-01-01T04:00"]);
    await assert.rejects(bus.schedules.cancel(nightly), { code: "OPTION_INVALID" });
  }
  {
    await using bus = await testBus([plain], { startAt: startAt + 2 * hourMs, seed: 1_001 });
    await bus.advance(minuteMs);
    assert.equal(await bus.schedules.cancel(nightly), true);
    assert.deepEqual(await bus.schedules.list(), []);
  }
});

test("a schedule is paused over restarts, resumed from now, and triggered beside its moments", async (t) => {
  const file = fileOf(t);
  const ids: string[] = [];
  const cron = "*/5 * * * *";
  {
    await using bus = await reporting(file, { cron });
    await bus.schedules.pause(nightly);
    await bus.advance(20 * minuteMs);
    assert.deepEqual(dues(bus), []);
  }
  await using bus = await reporting(file, { cron, ids }, { startAt: startAt + hourMs });
  await bus.advance(6 * minuteMs);
  assert.deepEqual(dues(bus), []);
  const [paused] = await bus.schedules.list({ service: "reporting" });
  assert.deepEqual([paused?.state, paused?.isDeclared], ["paused", true]);
  const { id } = await bus.schedules.trigger(nightly);
  await bus.settled();
  assert.deepEqual(ids, [id]);
  await bus.schedules.resume(nightly);
  await bus.advance(4 * minuteMs);
  assert.deepEqual(dues(bus).slice(1), ["2030-01-01T04:05"]);
  const status = await bus.schedules.find(nightly);
  assert.deepEqual(
    { ...status, nextAt: status?.nextAt?.toISOString(), lastAt: status?.lastAt?.toISOString() },
    {
      ...nightly,
      contract: "reports.write",
      isDeclared: true,
      timing: { cron, timeZone: "UTC" },
      state: "active",
      nextAt: "2030-01-01T04:10:00.000Z",
      lastAt: "2030-01-01T04:05:00.000Z",
      fired: 2,
      missed: 0,
      pausedAt: undefined,
      trouble: undefined,
    },
  );
  const nobody = { service: "reporting", name: "nobody" };
  await assert.rejects(bus.schedules.pause(nobody), { code: "NOT_FOUND" });
  await assert.rejects(bus.schedules.trigger(nobody), { code: "NOT_FOUND" });
  await assert.rejects(bus.schedules.list({ limit: 0 }), { code: "OPTION_INVALID" });
});

test("bus.explain says which schedules send a contract", async (t) => {
  await using bus = await reporting(fileOf(t));
  const explained = await bus.explain(WriteReport);
  assert.deepEqual(explained.schedules, [{ ...nightly, timing: { cron: "0 3 * * *" } }]);
  assert.match(
    explained.text,
    /The schedule "nightly" of reporting sends it at "0 3 \* \* \*" in UTC/,
  );
});

test("a clock that jumps ahead fires what it passed, and one that jumps back fires nothing twice", async (t) => {
  await using bus = await reporting(fileOf(t), { cron: "0 * * * *" });
  bus.environment.jump(3 * hourMs);
  await bus.advance(minuteMs);
  assert.deepEqual(dues(bus), ["2030-01-01T05:00"]);
  bus.environment.jump(-2 * hourMs);
  await bus.advance(10 * minuteMs);
  assert.deepEqual(dues(bus), ["2030-01-01T05:00"]);
  bus.environment.jump(hourMs + 55 * minuteMs);
  await bus.advance(minuteMs);
  assert.deepEqual(dues(bus), ["2030-01-01T05:00", "2030-01-01T06:00"]);
});

test("a clock that was wrong by years for a moment does not stop a schedule for years", async (t) => {
  await using bus = await reporting(fileOf(t), { cron: "0 * * * *" });
  bus.environment.jump(3_650 * dayMs);
  await bus.advance(minuteMs);
  bus.environment.jump(-3_650 * dayMs);
  await bus.advance(10 * minuteMs);
  assert.deepEqual(dues(bus).slice(1), ["2030-01-01T03:00"]);
  assert.ok(
    bus.log.some(({ level, message }) => level === "warn" && /clock was wrong/.test(message)),
  );
});

test("a message that cannot be made is tried again, shown to all, and nothing of it is lost", async (t) => {
  const file = fileOf(t);
  let isBroken = true;
  const input = (firing: Firing): Report => {
    if (isBroken) throw new RangeError("planned");
    return said(firing);
  };
  await using bus = await reporting(file, { input });
  await bus.advance(7 * minuteMs);
  assert.deepEqual(dues(bus), []);
  assert.equal((await bus.schedules.find(nightly))?.trouble, "planned");
  const health = await bus.health();
  assert.equal(health.status, "degraded");
  assert.match(health.reasons.join(), /"nightly" of service "reporting" cannot fire: planned/);
  assert.equal(bus.log.filter(({ level }) => level === "error").length, 1);
  isBroken = false;
  await bus.advance(2 * minuteMs);
  assert.deepEqual(dues(bus), ["2030-01-01T03:00"]);
  assert.equal((await bus.schedules.find(nightly))?.trouble, undefined);
  assert.equal((await bus.health()).status, "up");
});
