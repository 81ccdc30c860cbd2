import assert from "node:assert/strict";
import { test } from "node:test";
import { command, query, stream } from "@waybill/contracts";
import * as z from "zod";
import { connect } from "../connect.ts";
import { WaybillError } from "../errors.ts";
import { memory } from "../memory/index.ts";
import { type HandlerOptions, service } from "../service.ts";
import {
  type ManualEnvironment,
  gate,
  manualEnvironment,
  recordingLogger,
  tested,
  turns,
} from "../testing.fixture.ts";
import { Sample } from "./sample.ts";

const Job = z.object({ id: z.number() });
const Run = command("jobs.run", { input: Job });
const once = { immediate: 0, attempts: 20, delayMs: 0, jitter: 0 };
const down = (more: object = {}): Error =>
  Object.assign(new Error("the bank is down"), { code: "ECONNREFUSED" }, more);

/** A handler over something that is up or down as the test says. */
async function broken(options: HandlerOptions, fault: () => unknown = down) {
  const environment = manualEnvironment();
  const ran: { at: number; id: number; attempt: number }[] = [];
  const bank = { fails: true };
  const jobs = service("jobs").handle(
    Run,
    ({ id }, { attempt }) => {
      ran.push({ at: environment.clock.monotonic(), id, attempt });
      if (bank.fails) throw fault();
    },
    { retry: once, concurrency: 4, ...options },
  );
  const it = await tested([jobs], { environment });
  const send = async (from: number, to: number): Promise<void> => {
    for (let id = from; id <= to; id++) await it.bus.send(Run, { id });
    await environment.advance(0);
  };
  const circuit = async () => (await it.bus.health()).circuits[0];
  return {
    ...it,
    environment,
    ran,
    bank,
    send,
    circuit,
    [Symbol.asyncDispose]: () => it.bus.close(),
  };
}

const changes = ({ lines }: ReturnType<typeof recordingLogger>): readonly string[] =>
  lines
    .map(({ message }) => /The circuit of "jobs.run" is ([a-z ]+)[:.]/.exec(message)?.[1])
    .filter((state) => state !== undefined);

test("a circuit opens after so many failures in a row, takes nothing, tries one message, and closes when that succeeds", async () => {
  await using it = await broken({ circuitBreaker: { consecutiveFailures: 3, breakMs: 10_000 } });
  const startedAt = it.environment.clock.now();
  await it.send(1, 8);
  assert.equal(it.ran.length, 3, "what was fetched ahead did not begin");
  const health = await it.bus.health();
  assert.deepEqual(await it.circuit(), {
    address: "jobs.run",
    state: "open",
    since: startedAt,
    until: startedAt + 10_000,
    reason: "the bank is down",
  });
  assert.equal(health.status, "degraded");
  assert.match(health.reasons.join(), /jobs.run: the circuit is open since 2030-.* until 2030-/);
  const [state] = health.addresses;
  assert.deepEqual([state?.ready, state?.inFlight, state?.dead], [8, 0, 0]);
  await it.environment.advance(9_999);
  assert.equal(it.ran.length, 3);
  await it.environment.advance(1);
  assert.equal(it.ran.length, 4, "one probe, which failed");
  assert.equal((await it.circuit())?.state, "open");
  await it.environment.advance(19_999);
  assert.equal(it.ran.length, 4, "after a failed probe the pause is twice as long");
  it.bank.fails = false;
  await it.environment.advance(1);
  assert.equal((await it.circuit())?.state, "closed");
  assert.deepEqual(
    [...new Set(it.ran.map(({ id }) => id))].toSorted((a, b) => a - b),
    [1, 2, 3, 4, 5, 6, 7, 8],
  );
  assert.equal((await it.counted("jobs.run"))["handled"], 8);
  assert.deepEqual(
    it.ran.slice(5).filter(({ id, attempt }) => id > 4 && attempt > 1),
    [],
    "what only waited was not counted",
  );
  assert.deepEqual(changes(it.logger), ["open", "half open", "open", "half open", "closed"]);
});

test("while it is half open one message at a time begins, and the others wait for it", async () => {
  const environment = manualEnvironment();
  const go = gate();
  let running = 0;
  let most = 0;
  const jobs = service("jobs").handle(
    Run,
    async ({ id }) => {
      if (id === 1) throw down();
      most = Math.max(most, ++running);
      await go.passed;
      running -= 1;
    },
    { retry: { ...once, delayMs: 100_000 }, circuitBreaker: { consecutiveFailures: 1 } },
  );
  await using it = await tested([jobs], { environment });
  await it.bus.send(Run, { id: 1 });
  await environment.advance(0);
  for (let id = 2; id <= 9; id++) await it.bus.send(Run, { id });
  await environment.advance(30_000);
  assert.equal(running, 1);
  assert.equal((await it.bus.health()).circuits[0]?.state, "halfOpen");
  go.open();
  await environment.advance(0);
  assert.deepEqual([running, most > 1], [0, true]);
  assert.equal((await it.counted("jobs.run"))["handled"], 8);
});

test("a ratio counts within its window and from its minimum of runs", async () => {
  await using it = await broken({
    retry: { ...once, delayMs: 86_400_000, attempts: 2 },
    circuitBreaker: { failureRatio: 0.5, minimumThroughput: 6, samplingMs: 10_000 },
  });
  await it.send(1, 5);
  assert.equal((await it.circuit())?.state, "closed", "five are too few");
  await it.environment.advance(12_000);
  await it.send(6, 9);
  assert.equal((await it.circuit())?.state, "closed", "the five are forgotten");
  it.bank.fails = false;
  await it.send(10, 14);
  it.bank.fails = true;
  await it.send(15, 15);
  assert.equal((await it.circuit())?.state, "open", "five of ten");
});

for (const [name, fault, opens] of [
  ["a bug", () => new TypeError("no such field"), false],
  ["a permanent failure", () => down({ code: "X", retryable: false }), false],
  ["poison", () => new WaybillError("MESSAGE_INVALID", "no"), false],
  ["a refused connection", () => down(), true],
  ["missing rights", () => down({ status: 401, code: "" }), true],
  ["something unknown", () => "odd", true],
] as const) {
  test(`${name} ${opens ? "opens" : "does not open"} a circuit`, async () => {
    await using it = await broken({ circuitBreaker: { consecutiveFailures: 2 } }, fault);
    await it.send(1, 6);
    assert.equal((await it.circuit())?.state, opens ? "open" : "closed");
    assert.equal(it.ran.length, opens ? 2 : 6);
  });
}

test("a probe whose failure tells of its message alone is followed by the next one", async () => {
  let fault: unknown = down();
  await using it = await broken(
    {
      circuitBreaker: { consecutiveFailures: 1, breakMs: 1_000 },
      retry: { ...once, delayMs: 5_000 },
    },
    () => fault,
  );
  await it.send(1, 1);
  fault = new TypeError("only this message");
  await it.send(2, 4);
  assert.equal(it.ran.length, 1);
  await it.environment.advance(1_000);
  assert.deepEqual(
    it.ran.map(({ id }) => id),
    [1, 2, 3, 4],
  );
  assert.equal((await it.circuit())?.state, "halfOpen");
  it.bank.fails = false;
  await it.send(5, 5);
  assert.equal((await it.circuit())?.state, "closed");
});

test("who is throttled says how long the circuit stays open", async () => {
  await using it = await broken(
    { circuitBreaker: { consecutiveFailures: 2, breakMs: 1_000 } },
    () => down({ status: 429, retryAfterMs: 45_000 }),
  );
  const startedAt = it.environment.clock.now();
  await it.send(1, 4);
  assert.equal((await it.circuit())?.until, startedAt + 45_000);
  it.bank.fails = false;
  await it.environment.advance(44_999);
  assert.equal(it.ran.length, 2);
  await it.environment.advance(1);
  assert.equal((await it.circuit())?.state, "closed");
});

test("a stream and ordered messages keep their order across an open circuit, and what failed is not counted twice", async () => {
  const Log = stream("jobs.log", { item: Job, key: () => "one", partitions: 1 });
  for (const kind of ["stream", "orderedBy", "key"] as const) {
    const environment = manualEnvironment();
    const seen: number[] = [];
    const bank = { fails: true };
    const Keyed = command("jobs.keyed", { input: Job, key: () => "one" });
    const handler = ({ id }: { id: number }): void => {
      if (bank.fails) throw down();
      seen.push(id);
    };
    const options = { circuitBreaker: { consecutiveFailures: 1 }, retry: once };
    const base = service("jobs", { appends: [Log] });
    const jobs =
      kind === "stream"
        ? base.consume(Log, handler, options)
        : kind === "key"
          ? base.handle(Keyed, handler, options)
          : base.handle(Run, handler, { ...options, orderedBy: () => "one" });
    await using it = await tested([jobs], { environment });
    for (let id = 1; id <= 5; id++) {
      if (kind === "stream") await it.bus.append(Log, { id });
      else
        await (it.bus as typeof it.bus & { send: any }).send(kind === "key" ? Keyed : Run, { id });
    }
    await environment.advance(30_000);
    bank.fails = false;
    await environment.advance(60_000);
    assert.deepEqual(seen, [1, 2, 3, 4, 5], kind);
  }
});

test("what still runs when a circuit opens stands in front of its key afterwards, too", async () => {
  const environment = manualEnvironment();
  const go = gate();
  const order: string[] = [];
  let fails = true;
  const jobs = service("jobs").handle(
    Run,
    async ({ id }) => {
      order.push(`begin ${id}`);
      if (id === 1) await go.passed;
      if (id === 3 && fails) throw down();
      order.push(`end ${id}`);
    },
    {
      circuitBreaker: { consecutiveFailures: 1, breakMs: 1_000 },
      retry: once,
      orderedBy: ({ id }) => (id < 3 ? "a" : "b"),
    },
  );
  await using it = await tested([jobs], { environment });
  for (let id = 1; id <= 3; id++) await it.bus.send(Run, { id });
  await environment.advance(0);
  fails = false;
  await environment.advance(2_000);
  assert.deepEqual(order, ["begin 1", "begin 3", "begin 3", "end 3"]);
  go.open();
  await environment.advance(0);
  assert.deepEqual(order.slice(4), ["end 1", "begin 2", "end 2"]);
});

test("pauseHere() outlasts a circuit, and a circuit outlasts resumeHere()", async () => {
  await using it = await broken({ circuitBreaker: { consecutiveFailures: 1, breakMs: 1_000 } });
  await it.send(1, 2);
  it.bus.pauseHere("jobs.run");
  it.bus.resumeHere("jobs.run");
  await turns();
  assert.equal(it.ran.length, 1);
  it.bus.pauseHere("jobs.run");
  it.bank.fails = false;
  await it.environment.advance(5_000);
  assert.equal(it.ran.length, 1);
  it.bus.resumeHere("jobs.run");
  await it.environment.advance(0);
  assert.equal((await it.circuit())?.state, "closed");
});

for (const when of ["before", "while"] as const) {
  test(`a circuit that opens ${when} its bus closes leaves no timer and gives everything back`, async () => {
    const environment: ManualEnvironment = manualEnvironment();
    const go = gate();
    const jobs = service("jobs").handle(
      Run,
      async () => {
        if (when === "while") await go.passed;
        throw down();
      },
      { circuitBreaker: { consecutiveFailures: 1 }, retry: { ...once, delayMs: 1_000 } },
    );
    const transport = memory();
    const it = await tested([jobs], { environment, transport });
    await it.bus.send(Run, { id: 1 });
    await environment.advance(0);
    const closing = it.bus.close();
    await turns();
    go.open();
    await closing;
    await environment.advance(60_000);
    assert.equal(environment.timersSet, 0);
    assert.equal(it.logger.has("warn", /circuit/), when === "before");
    let handled = 0;
    const next = service("jobs").handle(Run, () => void handled++);
    await using taker = await tested([next], { environment, transport });
    await environment.advance(0);
    assert.equal(handled, 1);
    assert.equal(taker.logger.has("error", /./), false);
  });
}

test("one address has one circuit, set for all handlers or refused where it cannot be", async () => {
  const Ask = query("jobs.ask", { input: Job, output: z.number() });
  const ask = service("jobs").answer(Ask, ({ id }) => id, {
    circuitBreaker: {},
  } as object);
  const faulty = (circuitBreaker: unknown) =>
    service("jobs").handle(Run, () => undefined, { circuitBreaker } as object);
  for (const [one, fault] of [
    [ask, /says circuitBreaker, which is for handlers of single messages/],
    [faulty({ failureRatio: 2 }), /circuitBreaker.failureRatio is 2; give a number from/],
    [faulty({ consecutiveFailures: 2, samplingMs: 2_000 }), /either consecutiveFailures, or/],
    [faulty(true), /circuitBreaker is no object/],
  ] as const)
    await assert.rejects(
      connect({ transport: memory(), services: [one], logger: recordingLogger() }),
      (error: WaybillError) => error.code === "WIRING_INVALID" && fault.test(error.message),
    );
  await using it = await tested(
    [
      service("jobs")
        .handle(Run, () => undefined)
        .answer(Ask, ({ id }) => id),
    ],
    { handlers: { circuitBreaker: {} } },
  );
  assert.deepEqual(
    (await it.bus.health()).circuits.map(({ address, state }) => [address, state]),
    [["jobs.run", "closed"]],
  );
});

test("a sample forgets what is older than its window", () => {
  const sample = new Sample(1_000);
  for (let now = 0; now < 1_000; now += 50) sample.add(now < 500, now);
  assert.deepEqual([sample.runs, sample.failures], [20, 10]);
  sample.add(false, 1_250);
  assert.deepEqual([sample.runs, sample.failures], [15, 4]);
  sample.add(true, 9_000);
  assert.deepEqual([sample.runs, sample.failures], [1, 1]);
});
