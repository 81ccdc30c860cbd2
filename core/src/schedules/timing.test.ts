import assert from "node:assert/strict";
import { test } from "node:test";
import { type Timing, dueBetween, momentsOf, timingFaults } from "./timing.ts";

/** The first moments after one, in UTC. */
function after(from: string, count: number, timing: Timing): readonly string[] {
  const moments = momentsOf(timing);
  const found: string[] = [];
  let at = Date.parse(`${from}:00Z`);
  while (found.length < count) {
    at = moments.next(at) ?? assert.fail("no moment comes");
    found.push(new Date(at).toISOString().slice(0, 16));
  }
  return found;
}

const berlin = (cron: string): Timing => ({ cron, timeZone: "Europe/Berlin" });

test("a cron expression is read on the clock of its time zone, UTC by default", () => {
  const wanted = ["2026-01-01T02:00", "2026-01-02T02:00"];
  assert.deepEqual(after("2026-01-01T00:00", 2, berlin("0 3 * * *")), wanted);
  assert.deepEqual(after("2026-01-01T00:00", 2, { cron: "0 2 * * *" }), wanted);
  assert.deepEqual(after("2026-01-01T00:00", 2, { cron: "  0   2  * * *" }), wanted);
  assert.deepEqual(after("2025-12-31T00:00", 1, { cron: "@monthly" }), ["2026-01-01T00:00"]);
});

test("where clocks are put forward, a given time that is skipped comes once, at the moment of the change", () => {
  // In Berlin 02:00 to 03:00 is skipped on March 29: 03:00 there is 01:00 UTC.
  assert.deepEqual(after("2026-03-28T00:00", 3, berlin("30 2 * * *")), [
    "2026-03-28T01:30",
    "2026-03-29T01:00",
    "2026-03-30T00:30",
  ]);
  assert.deepEqual(after("2026-03-28T12:00", 3, berlin("15,45 2 * * *")), [
    "2026-03-29T01:00",
    "2026-03-30T00:15",
    "2026-03-30T00:45",
  ]);
  assert.deepEqual(after("2026-03-28T12:00", 3, berlin("0,30 2,3 * * *")), [
    "2026-03-29T01:00",
    "2026-03-29T01:30",
    "2026-03-30T00:00",
  ]);
  // In São Paulo there was no midnight.
  assert.deepEqual(
    after("2018-11-03T12:00", 2, { cron: "0 0 * * *", timeZone: "America/Sao_Paulo" }),
    ["2018-11-04T03:00", "2018-11-05T02:00"],
  );
});

test("where clocks are put back, a given time that is doubled comes once, at the first of both", () => {
  // In Berlin 02:00 to 03:00 is doubled on October 25: it begins at 00:00 and again at 01:00 UTC.
  assert.deepEqual(after("2026-10-24T12:00", 2, berlin("30 2 * * *")), [
    "2026-10-25T00:30",
    "2026-10-26T01:30",
  ]);
  assert.deepEqual(after("2026-10-24T12:00", 3, berlin("15,45 2 * * *")), [
    "2026-10-25T00:15",
    "2026-10-25T00:45",
    "2026-10-26T01:15",
  ]);
});

test("what has wildcards or steps in its times runs on as time does", () => {
  assert.deepEqual(after("2026-03-29T00:15", 3, berlin("*/30 * * * *")), [
    "2026-03-29T00:30",
    "2026-03-29T01:00",
    "2026-03-29T01:30",
  ]);
  assert.deepEqual(after("2026-10-24T23:45", 5, berlin("*/30 * * * *")), [
    "2026-10-25T00:00",
    "2026-10-25T00:30",
    "2026-10-25T01:00",
    "2026-10-25T01:30",
    "2026-10-25T02:00",
  ]);
  assert.deepEqual(after("2026-10-24T12:00", 5, berlin("*/30 2 * * *")), [
    "2026-10-25T00:00",
    "2026-10-25T00:30",
    "2026-10-25T01:00",
    "2026-10-25T01:30",
    "2026-10-26T01:00",
  ]);
  assert.deepEqual(after("2026-03-28T12:00", 1, berlin("*/30 2 * * *")), ["2026-03-30T00:00"]);
});

test("everyMs is due at its multiples, wherever it begins", () => {
  const { next } = momentsOf({ everyMs: 60_000 });
  assert.equal(next(0), 60_000);
  assert.equal(next(59_999), 60_000);
  assert.equal(next(60_000), 120_000);
});

test("what is wrong is named with its field", () => {
  const faultOf = (timing: object): string => timingFaults(timing as Timing).join("; ");
  for (const [timing, pattern] of [
    [{}, /neither cron nor everyMs/],
    [{ cron: "* * * * *", everyMs: 1_000 }, /both cron and everyMs/],
    [{ cron: "61 * * * *" }, /"61" as the minute of the cron "61 \* \* \* \*": Invalid value/],
    [{ cron: "0 25 * 13 *" }, /"25" as the hour .*; .*"13" as the month/],
    [{ cron: "0 0 * * 8" }, /"8" as the day of week/],
    [{ cron: "99 0 0 * * *" }, /"99" as the second/],
    [{ cron: "0 3 * *" }, /with 4 fields; give five \(minute, hour/],
    [{ cron: "" }, /with no fields/],
    [{ cron: "0 0 31 2 *" }, /never comes/],
    [{ cron: 7 }, /the cron 7; give text/],
    [{ cron: "x".repeat(300) }, /give text/],
    [
      { cron: "* * * * *", timeZone: "Mars/Olympus" },
      /timeZone "Mars\/Olympus", which is not known/,
    ],
    [{ cron: "* * * * *", timeZone: "" }, /timeZone ""/],
    [{ everyMs: 1_000, timeZone: "UTC" }, /timeZone beside everyMs/],
    [{ everyMs: 999 }, /everyMs 999; give milliseconds, a whole number from 1000/],
    [{ everyMs: 1_000.5 }, /everyMs 1000.5/],
  ] as const)
    assert.match(faultOf(timing), pattern);
  for (const cron of ["0 3 * * *", "30 0 3 * * *", "@daily", "0 12 * * MON-FRI", "0 0 L * *"])
    assert.equal(faultOf({ cron, timeZone: "Europe/Berlin" }), "");
});

test("what is due between two moments is its last ones and a count, however long that is", () => {
  for (const timing of [
    berlin("*/7 * * * *"),
    berlin("30 2 * * *"),
    berlin("15,45 2 * * *"),
    berlin("0 0 * * MON"),
    { everyMs: 3_600_000 },
    { cron: "0 */5 3 * * *", timeZone: "America/New_York" },
  ]) {
    const moments = momentsOf(timing);
    const from = moments.next(Date.UTC(2026, 9, 1)) ?? 0;
    const until = Date.UTC(2026, 10, 3, 11, 11);
    const all: number[] = [];
    for (let at: number | undefined = from; at !== undefined && at <= until; at = moments.next(at))
      all.push(at);
    for (const keep of [1, 3, 50]) {
      const { last, earlier } = dueBetween(moments, { from, until, keep });
      assert.deepEqual(last, all.slice(-keep), JSON.stringify(timing));
      assert.equal(earlier, Math.min(1_000, Math.max(0, all.length - keep)));
    }
  }
});

test("a month of seconds is not walked through", () => {
  const moments = momentsOf({ cron: "* * * * * *" });
  let asked = 0;
  const counting = { next: (at: number) => ((asked += 1), moments.next(at)) };
  const from = Date.UTC(2026, 0, 1);
  const until = Date.UTC(2026, 1, 1);
  const { last, earlier } = dueBetween(counting, { from, until, keep: 2 });
  assert.deepEqual(last, [until - 1_000, until]);
  assert.equal(earlier, 1_000);
  assert.ok(asked < 1_100, String(asked));
});

test("an hour of seconds a day is found at the end of a long rest", () => {
  const moments = momentsOf({ cron: "* * 3 * * *" });
  const from = Date.UTC(2026, 0, 1, 3);
  const { last } = dueBetween(moments, { from, until: Date.UTC(2026, 6, 1), keep: 3 });
  const end = Date.UTC(2026, 5, 30, 3, 59, 59);
  assert.deepEqual(last, [end - 2_000, end - 1_000, end]);
});
