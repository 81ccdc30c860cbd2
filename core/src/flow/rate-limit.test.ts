import assert from "node:assert/strict";
import { test } from "node:test";
import { command, stream } from "@waybill/contracts";
import * as z from "zod";
import { connect } from "../connect.ts";
import type { WaybillError } from "../errors.ts";
import { memory } from "../memory/index.ts";
import type { HandlerOptions } from "../service.ts";
import { service } from "../service.ts";
import { manualEnvironment, recordingLogger, tested } from "../testing.fixture.ts";
import { RateKeys } from "./rate-keys.ts";

const Job = z.object({ id: z.number(), tenant: z.string() });
type Job = z.infer<typeof Job>;
const Run = command("jobs.run", { input: Job });
const Keyed = command("jobs.keyed", { input: Job, key: ({ tenant }) => tenant });
const perTenant = { perSecond: 1, key: ({ tenant }: Job) => tenant };

/** A handler that notes who ran when, on a clock that is moved by hand. */
async function rated(
  options: HandlerOptions<Job>,
  contract: typeof Run | typeof Keyed = Run,
  transport = memory(),
) {
  const environment = manualEnvironment();
  const ran: { at: number; name: string; attempt: number }[] = [];
  const jobs = service("jobs").handle(
    contract,
    ({ id, tenant }, { attempt }) =>
      void ran.push({ at: environment.clock.monotonic(), name: `${tenant}${id}`, attempt }),
    options,
  );
  const it = await tested([jobs], { environment, transport });
  const send = async (tenant: string, from: number, to: number): Promise<void> => {
    for (let id = from; id <= to; id++) await it.bus.send(contract as typeof Run, { id, tenant });
  };
  const advance = async (ms: number, step = 100): Promise<void> => {
    for (let left = ms; left > 0; left -= step) await environment.advance(step);
  };
  return { ...it, send, advance, ran, environment, [Symbol.asyncDispose]: () => it.bus.close() };
}

const names = (ran: readonly { name: string }[]): readonly string[] => ran.map(({ name }) => name);

test("a handler takes its rate and no more, evenly, in order, and catches up on nothing after a pause", async () => {
  await using it = await rated({ rateLimit: { perSecond: 2 } });
  await it.send("a", 1, 6);
  await it.advance(2_400);
  assert.deepEqual(
    it.ran.map(({ at, name }) => [at, name]),
    [0, 500, 1_000, 1_500, 2_000].map((at, index) => [at, `a${index + 1}`]),
  );
  await it.advance(10_000);
  await it.send("a", 7, 8);
  await it.advance(400);
  assert.deepEqual(names(it.ran).slice(-2), ["a6", "a7"]);
  await it.advance(200);
  assert.deepEqual(names(it.ran).slice(-1), ["a8"]);
  assert.ok(it.ran.every(({ attempt }) => attempt === 1));
});

test("a burst goes at once and is filled again by time", async () => {
  await using it = await rated({ rateLimit: { count: 60, perMs: 60_000, burst: 3 } });
  await it.send("a", 1, 5);
  await it.environment.advance(0);
  assert.deepEqual(names(it.ran), ["a1", "a2", "a3"]);
  await it.advance(2_000);
  assert.equal(it.ran.length, 5);
  await it.advance(3_000);
  await it.send("a", 6, 9);
  await it.environment.advance(0);
  assert.deepEqual(names(it.ran).slice(5), ["a6", "a7", "a8"]);
});

test("keys have rates of their own: one that is waited for lets the others pass", async () => {
  await using it = await rated({ rateLimit: perTenant, concurrency: 4, prefetch: 8 });
  await it.send("a", 1, 40);
  await it.send("b", 1, 2);
  await it.environment.advance(0);
  assert.deepEqual(names(it.ran), ["a1", "b1"]);
  await it.advance(1_000);
  assert.deepEqual(names(it.ran), ["a1", "b1", "a2", "b2"]);
});

test("what waits long goes back until its turn, uncounted and in order; what is sent later stands behind it", async () => {
  await using it = await rated({ rateLimit: perTenant });
  await it.send("a", 1, 30);
  await it.environment.advance(0);
  const [state] = (await it.bus.health()).addresses;
  assert.equal(state?.inFlight, 5, "as many as have their turn within five seconds");
  assert.equal(state?.scheduled, 24);
  await it.advance(3_000);
  await it.send("a", 31, 33);
  await it.advance(40_000);
  assert.deepEqual(
    names(it.ran),
    Array.from({ length: 33 }, (_, index) => `a${index + 1}`),
  );
  assert.ok(it.ran.every(({ attempt }) => attempt === 1));
  for (const [index, { at }] of it.ran.entries())
    if (index > 0) assert.ok(at - (it.ran[index - 1]?.at ?? 0) >= 1_000 - 1e-6, `${index}`);
  assert.ok((it.ran.at(-1)?.at ?? 0) <= 36_000, "and little of the rate was left unused");
});

test("a session under a rate goes back as a whole, in order, and others are handled meanwhile", async () => {
  await using it = await rated({ rateLimit: { ...perTenant, perSecond: 0.1 } }, Keyed);
  await it.send("a", 1, 3);
  await it.send("b", 1, 1);
  await it.environment.advance(0);
  assert.deepEqual(names(it.ran), ["a1", "b1"]);
  assert.equal((await it.bus.health()).addresses[0]?.inFlight, 0);
  await it.advance(21_000);
  assert.deepEqual(names(it.ran), ["a1", "b1", "a2", "a3"]);
  assert.ok(it.ran.every(({ attempt }) => attempt === 1));
});

test("what orderedBy orders waits here, however long, and is not overtaken", async () => {
  await using it = await rated({
    rateLimit: { perSecond: 0.1, key: ({ id }) => (id > 2 ? "late" : "early") },
    orderedBy: ({ tenant }) => tenant,
  });
  await it.send("a", 1, 4);
  await it.advance(9_000, 1_000);
  assert.deepEqual(names(it.ran), ["a1"], "a3 has its rate and stands behind a2");
  await it.advance(22_000, 1_000);
  assert.deepEqual(names(it.ran), ["a1", "a2", "a3", "a4"]);
});

test("items of a stream wait in their place", async () => {
  const Log = stream("jobs.log", { item: Job, key: ({ tenant }) => tenant });
  const environment = manualEnvironment();
  const seen: number[] = [];
  const reader = service("jobs", { appends: [Log] }).consume(Log, ({ id }) => void seen.push(id), {
    rateLimit: { count: 1, perMs: 10_000, key: ({ tenant }) => tenant },
  });
  await using it = await tested([reader], { environment });
  for (let id = 1; id <= 3; id++) await it.bus.append(Log, { id, tenant: "a" });
  await environment.advance(9_000);
  assert.deepEqual(seen, [1]);
  await environment.advance(12_000);
  assert.deepEqual(seen, [1, 2, 3]);
});

test("a retry counts as one more; what waits goes back when the bus closes", async () => {
  const environment = manualEnvironment();
  const at: number[] = [];
  const jobs = service("jobs").handle(
    Run,
    () => {
      at.push(environment.clock.monotonic());
      if (at.length === 1) throw new Error("once");
    },
    { rateLimit: { perSecond: 1 }, retry: { immediate: 0, delayMs: 0 } },
  );
  const transport = memory();
  const it = await tested([jobs], { environment, transport });
  await it.bus.send(Run, { id: 1, tenant: "a" });
  await it.bus.send(Run, { id: 2, tenant: "a" });
  await it.bus.send(Run, { id: 3, tenant: "a" });
  await environment.advance(1_500);
  assert.deepEqual(at, [0, 1_000]);
  await it.bus.close();
  assert.equal((await it.counted("jobs.run"))["released"], 2);
  await environment.advance(60_000);
  assert.deepEqual([at.length, environment.timersSet], [2, 0]);
});

test("two processes take twice the rate", async () => {
  const environment = manualEnvironment();
  const transport = memory();
  let ran = 0;
  const jobs = service("jobs").handle(Run, () => void ran++, { rateLimit: { perSecond: 5 } });
  await using first = await tested([jobs], { environment, transport });
  await using second = await tested([jobs], { environment, transport });
  for (let id = 0; id < 200; id++) await first.bus.send(Run, { id, tenant: "a" });
  await environment.advance(4_000);
  assert.equal(ran, 42, "two at once and ten a second");
  assert.equal(second.logger.has("error", /./), false);
});

test("keys are bounded: who has waited out its rate is forgotten first, then the one used longest ago", () => {
  let forgotten = 0;
  const keys = new RateKeys(
    { intervalMs: 1_000, burst: 1 },
    { keysMax: 3, onForget: () => (forgotten += 1) },
  );
  for (const [name, now] of [
    ["a", 0],
    ["b", 500],
    ["c", 900],
  ] as const)
    keys.take(keys.of(name, now), now);
  keys.take(keys.of("d", 1_100), 1_100);
  assert.deepEqual([keys.size, forgotten], [3, 0]);
  keys.take(keys.of("e", 1_100), 1_100);
  assert.deepEqual([keys.size, forgotten], [3, 1]);
  assert.equal(keys.waitMs(keys.of("c", 1_200), 1_200), 700);
  assert.equal(keys.waitMs(keys.of("b", 1_200), 1_200), 0);
});

for (const [rateLimit, fault] of [
  [{}, /either perSecond, or count and perMs/],
  [{ perSecond: 5, count: 3, perMs: 10 }, /either perSecond, or count and perMs/],
  [{ count: 3 }, /either perSecond, or count and perMs/],
  [{ perSecond: 0 }, /rateLimit.perSecond is 0; give a number from 0.001/],
  [{ count: 1.5, perMs: 10 }, /rateLimit.count is 1.5; give a whole number/],
  [{ perSecond: 1, burst: Number.NaN }, /rateLimit.burst is NaN/],
  [{ perSecond: 1, key: "tenant" }, /rateLimit.key is no function/],
  [null, /rateLimit is no object/],
] as const) {
  test(`a rate that cannot be kept is refused: ${JSON.stringify(rateLimit)}`, async () => {
    const jobs = service("jobs").handle(Run, () => undefined, { rateLimit } as never);
    await assert.rejects(
      connect({ transport: memory(), services: [jobs], logger: recordingLogger() }),
      (error: WaybillError) => error.code === "WIRING_INVALID" && fault.test(error.message),
    );
  });
}
