import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event, query } from "@waybill/contracts";
import * as z from "zod";
import { service } from "../service.ts";
import { gate, manualEnvironment, tested, turns } from "../testing.fixture.ts";

const Job = z.object({ id: z.string() });
const Run = command("jobs.run", { input: Job });
const Ran = event("jobs.ran", { payload: Job });
const Get = query("jobs.get", { input: Job, output: Job });
const never = new Promise<void>(() => undefined);

test("a run that is over its time is aborted, given up after its grace, counted, shown, and retried; what it sends late is refused", async () => {
  const environment = manualEnvironment();
  const hang = gate();
  const log: string[] = [];
  const worker = service("jobs", { publishes: [Ran] })
    .handle(
      Run,
      async (job, context) => {
        if (context.attempt > 1) return void log.push(`attempt ${context.attempt}`);
        const { signal } = context;
        signal.addEventListener("abort", () => log.push((signal.reason as { code: string }).code));
        await hang.passed;
        await context
          .publish(Ran, job)
          .catch(({ code }: { code: string }) => log.push(`late ${code}`));
      },
      { timeoutMs: 100, retry: { delayMs: 50, jitter: 0 } },
    )
    .on(Ran, () => void log.push("published"));
  await using it = await tested([worker], { environment });
  await it.bus.send(Run, { id: "1" });
  await environment.advance(99);
  assert.deepEqual(log, []);
  await environment.advance(1);
  assert.deepEqual(log, ["HANDLER_TIMED_OUT"]);
  await environment.advance(999);
  assert.equal((await it.bus.health()).running[Run.name], 1);
  await environment.advance(1);
  const health = await it.bus.health();
  assert.deepEqual([health.running[Run.name], health.overdue], [0, { "jobs.handle(jobs.run)": 1 }]);
  assert.ok(health.reasons.some((reason) => /1 runs were given up/.test(reason)));
  assert.ok(it.logger.has("error", /was given up 1000 ms after its time was over/));
  await environment.advance(50);
  assert.deepEqual(log, ["HANDLER_TIMED_OUT", "attempt 2"]);
  hang.open();
  await turns();
  assert.deepEqual(log.slice(2), ["late CLOSED"]);
  const counted = await it.counted(Run.name);
  assert.deepEqual([counted["timedOut"], counted["handled"], counted["retried"]], [1, 1, 1]);
  assert.deepEqual((await it.bus.health()).overdue, {});
});

test("a handler that ends within its grace counts as it ends: with success, or failed by its time", async () => {
  const environment = manualEnvironment();
  const worker = service("jobs").handle(
    Run,
    async ({ id }, context) => {
      const over = new Promise<void>((resolve) =>
        context.signal.addEventListener("abort", () => resolve()),
      );
      await over;
      if (id === "bad") throw new TypeError("stopped");
    },
    { timeoutMs: 100, retry: { attempts: 1 } },
  );
  await using it = await tested([worker], { environment });
  await it.bus.send(Run, { id: "good" });
  await it.bus.send(Run, { id: "bad" });
  await environment.advance(100);
  const [dead, ...others] = await it.bus.deadLetters.list();
  assert.deepEqual([dead?.failure?.reason, others.length], ["HANDLER_TIMED_OUT", 0]);
  const counted = await it.counted(Run.name);
  assert.deepEqual([counted["handled"], counted["timedOut"]], [1, 0]);
});

test("the limit of the bus holds where a handler has none, and sets no timer for a handler that is not async", async () => {
  const environment = manualEnvironment();
  const worker = service("jobs")
    .handle(Run, () => undefined)
    .on(Ran, () => never);
  await using it = await tested([worker], { environment, handlers: { timeoutMs: 500 } });
  await it.bus.publish(Ran, { id: "1" });
  await environment.advance(1_500);
  assert.equal((await it.counted(Ran.name))["timedOut"], 1);
  const before = environment.timersSet;
  await it.bus.send(Run, { id: "1" });
  await turns();
  assert.equal(environment.timersSet, before);
});

test("a query's handler is bounded by its caller's deadline, whether it heeds its signal or not", async () => {
  for (const localCalls of [true, false]) {
    const environment = manualEnvironment();
    const owner = service("jobs", { asks: [Get] }).answer(Get, () => new Promise(() => undefined));
    const { bus, counted } = await tested([owner], { environment, localCalls });
    const asked = assert.rejects(bus.ask(Get, { id: "1" }, { timeoutMs: 200 }), {
      code: "DEADLINE_EXCEEDED",
    });
    await environment.advance(200);
    await asked;
    assert.equal((await bus.health()).running[Get.name], 1);
    await environment.advance(1_000);
    const { running, overdue } = await bus.health();
    assert.deepEqual([running[Get.name], overdue], [0, { "jobs.answer(jobs.get)": 1 }]);
    assert.equal((await counted(Get.name))["abandoned"], 1);
    await bus.close();
  }
});

test("a batch that takes too long is given up as a whole, and its messages come again alone", async () => {
  const environment = manualEnvironment();
  const batches: string[] = [];
  const worker = service("jobs").handleBatch(
    Run,
    async (items) => {
      batches.push(items.map(({ value }) => value.id).join(" "));
      if (items.some(({ value }) => value.id === "slow")) await never;
    },
    {
      batch: { size: 3, maxAgeMs: 10 },
      timeoutMs: 100,
      retry: { attempts: 2, delayMs: 10, jitter: 0 },
    },
  );
  await using it = await tested([worker], { environment });
  for (const id of ["1", "slow", "3"]) await it.bus.send(Run, { id });
  await environment.advance(5_000);
  assert.deepEqual(batches, ["1 slow 3", "1", "slow", "3"]);
  assert.deepEqual(
    (await it.bus.deadLetters.list()).map(({ failure }) => failure?.reason),
    ["HANDLER_TIMED_OUT"],
  );
});

test("no more than 100 runs are given up at a time: further ones keep their place until one ends", async () => {
  const environment = manualEnvironment();
  const hang = gate();
  let begun = 0;
  const worker = service("jobs").handle(
    Run,
    async () => {
      begun += 1;
      await hang.passed;
    },
    { timeoutMs: 10, concurrency: 60, prefetch: 1_000, retry: { attempts: 1 } },
  );
  await using it = await tested([worker], { environment });
  for (let id = 0; id < 300; id++) await it.bus.send(Run, { id: String(id) });
  await environment.advance(60_000);
  assert.equal(begun, 160);
  assert.deepEqual((await it.bus.health()).overdue, { "jobs.handle(jobs.run)": 100 });
  hang.open();
  await environment.advance(2_000);
  assert.equal(begun, 300);
  assert.deepEqual((await it.bus.health()).overdue, {});
});

test("a limit that is none is refused at start", async () => {
  const bad = service("jobs").handle(Run, () => undefined, { timeoutMs: 0 });
  await assert.rejects(tested([bad]), { code: "WIRING_INVALID", message: /timeoutMs of .* is 0/ });
});
