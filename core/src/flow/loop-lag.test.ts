import assert from "node:assert/strict";
import { test } from "node:test";
import { command } from "@waybill/contracts";
import * as z from "zod";
import { systemEnvironment } from "../environment/system.ts";
import type { Environment } from "../ports/environment.ts";
import { service } from "../service.ts";
import { manualEnvironment, tested, until } from "../testing.fixture.ts";

const Run = command("jobs.run", { input: z.object({ id: z.number() }) });
const jobs = service("jobs").handle(Run, () => undefined, { lockMs: 3_000 });

/** A manual clock, whose loop is as late as the test says. */
function lateEnvironment() {
  const environment = manualEnvironment();
  const watchers = new Set<(lateMs: number) => void>();
  const watched: Environment = {
    ...environment,
    watchLoop: (_everyMs, late) => {
      watchers.add(late);
      return { cancel: () => void watchers.delete(late) };
    },
  };
  const tick = (lateMs: number): void => {
    for (const late of watchers) late(lateMs);
  };
  return { environment: watched, advance: environment.advance, tick, watchers };
}

test("the lag of the loop is told as mean and most of the last minute, and forgotten after it", async () => {
  const { environment, advance, tick } = lateEnvironment();
  await using it = await tested([jobs], { environment });
  for (const lateMs of [0, 10, 20]) tick(lateMs);
  await advance(30_000);
  tick(90);
  const { eventLoop, status } = await it.bus.health();
  assert.deepEqual(eventLoop, { meanMs: 30, maxMs: 90, windowMs: 60_000, boundMs: 1_000 });
  assert.equal(status, "up");
  await advance(31_000);
  assert.equal((await it.bus.health()).eventLoop?.meanMs, 90);
  await advance(60_000);
  assert.deepEqual((await it.bus.health()).eventLoop?.maxMs, 0);
});

test("a stall above a third of the shortest lock is warned of once a minute, with what to do, and health says it", async () => {
  const { environment, advance, tick, watchers } = lateEnvironment();
  const it = await tested([jobs], { environment });
  tick(999);
  assert.equal(it.logger.lines.length, 0);
  tick(1_500);
  tick(4_000);
  const warnings = (): readonly string[] =>
    it.logger.lines.filter(({ level }) => level === "warn").map(({ message }) => message);
  assert.equal(warnings().length, 1);
  assert.match(
    warnings()[0] ?? "",
    /^The event loop stood still for 1500 ms: locks of "jobs.run" last 3000 ms and are renewed late. .*worker_threads.*smaller batches.*lockMs\.$/,
  );
  const health = await it.bus.health();
  assert.equal(health.status, "degraded");
  assert.match(
    health.reasons.join(),
    /last 60 s the event loop stood still for 4000 ms: .*others may have had/,
  );
  await advance(60_000);
  tick(2_000);
  assert.equal(warnings().length, 2);
  await advance(61_000);
  assert.equal((await it.bus.health()).status, "up");
  await it.bus.close();
  assert.equal(watchers.size, 0);
});

test("a bus that receives nothing watches nothing", async () => {
  const { environment, watchers } = lateEnvironment();
  await using it = await tested([service("script", { sends: [Run] })], { environment });
  assert.equal(watchers.size, 0);
  assert.equal((await it.bus.health()).eventLoop, undefined);
});

test("a loop that is held is late by that time", async () => {
  const lates: number[] = [];
  const watching = systemEnvironment.watchLoop?.(10, (lateMs) => lates.push(lateMs));
  await until("it ticks", () => lates.length > 2);
  lates.length = 0;
  const end = performance.now() + 200;
  while (performance.now() < end);
  await until("it ticks again", () => lates.length > 5);
  watching?.cancel();
  assert.ok(Math.min(...lates.slice(1)) < 100, "a stall is told once");
  assert.ok((lates[0] ?? 0) >= 189, `${lates[0]}`);
});
