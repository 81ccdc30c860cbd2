import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event, stream } from "@waybill/contracts";
import * as z from "zod";
import { type ErrorCode, WaybillError, messageOf } from "../errors.ts";
import { memory } from "../memory/index.ts";
import { retry } from "./outcome.ts";
import { type RetryPolicy, retryDefault, retryDelayMs } from "./retry.ts";
import { service } from "../service.ts";
import { type FailureKind, judge, mayRetry } from "./taxonomy.ts";
import {
  deadLetterOf,
  gate,
  manualEnvironment,
  tested,
  turns,
  until,
  watched,
} from "../testing.fixture.ts";

const Job = z.object({ id: z.string() });
const Run = command("jobs.run", { input: Job });
const Ran = event("jobs.ran", { payload: Job });

function with_(properties: object, error: Error = new Error("x")): Error {
  return Object.assign(error, properties);
}

// The taxonomy, cell by cell.

const own = (code: ErrorCode, retryable = false): WaybillError =>
  new WaybillError(code, "x", { retryable });

const cells: readonly (readonly [
  string,
  unknown,
  FailureKind,
  Partial<{ reason: ErrorCode; afterMs: number }>?,
])[] = [
  ["a plain error", new Error("x"), "unknown"],
  ["an error that says retryable", with_({ retryable: true }), "retryable"],
  ["an error that says not retryable", with_({ retryable: false }), "permanent"],
  ["ECONNREFUSED", with_({ code: "ECONNREFUSED" }), "retryable"],
  ["ETIMEDOUT", with_({ code: "ETIMEDOUT" }), "retryable"],
  ["SQLITE_BUSY", with_({ code: "SQLITE_BUSY" }), "retryable"],
  [
    "fetch failed over a reset connection",
    new TypeError("fetch failed", { cause: with_({ code: "ECONNRESET" }) }),
    "retryable",
  ],
  ["EACCES", with_({ code: "EACCES" }), "unauthorised"],
  ["status 401", with_({ status: 401 }), "unauthorised"],
  ["status 403", with_({ statusCode: 403 }), "unauthorised"],
  ["status 429", with_({ status: 429 }), "throttled"],
  ["retryAfterMs", with_({ retryAfterMs: 700 }), "throttled", { afterMs: 700 }],
  ["retryAfterMs of years", with_({ retryAfterMs: 1e12 }), "throttled", { afterMs: 3_600_000 }],
  ["retryAfterMs that is no number", with_({ retryAfterMs: "soon" }), "unknown"],
  ["a negative retryAfterMs", with_({ retryAfterMs: -1 }), "unknown"],
  ["TypeError", new TypeError("x"), "bug"],
  ["ReferenceError", new ReferenceError("x"), "bug"],
  ["RangeError", new RangeError("x"), "bug"],
  ["SyntaxError", new SyntaxError("x"), "bug"],
  ["DECODE_FAILED", own("DECODE_FAILED"), "poison", { reason: "DECODE_FAILED" }],
  ["MESSAGE_INVALID", own("MESSAGE_INVALID"), "poison", { reason: "MESSAGE_INVALID" }],
  ["VERSION_UNKNOWN", own("VERSION_UNKNOWN"), "poison", { reason: "VERSION_UNKNOWN" }],
  ["TYPE_UNKNOWN", own("TYPE_UNKNOWN"), "poison", { reason: "TYPE_UNKNOWN" }],
  ["EXPIRED", own("EXPIRED"), "poison", { reason: "EXPIRED" }],
  ["HANDLER_CRASHED", own("HANDLER_CRASHED"), "poison", { reason: "HANDLER_CRASHED" }],
  ["LOCK_LOST", own("LOCK_LOST"), "lockLost", { reason: "LOCK_LOST" }],
  ["UNAUTHORISED", own("UNAUTHORISED"), "unauthorised", { reason: "UNAUTHORISED" }],
  ["DEADLINE_EXCEEDED", own("DEADLINE_EXCEEDED"), "ambiguous", { reason: "DEADLINE_EXCEEDED" }],
  ["CLOSED", own("CLOSED"), "retryable", { reason: "CLOSED" }],
  ["STORAGE_FULL, retryable", own("STORAGE_FULL", true), "retryable", { reason: "STORAGE_FULL" }],
  [
    "ANSWER_FAILED, retryable",
    own("ANSWER_FAILED", true),
    "retryable",
    { reason: "ANSWER_FAILED" },
  ],
  ["ANSWER_FAILED", own("ANSWER_FAILED"), "permanent", { reason: "ANSWER_FAILED" }],
  ["undefined", undefined, "unknown"],
  ["null", null, "unknown"],
  ["a string", "no", "unknown"],
  ["a symbol", Symbol("no"), "unknown"],
  ["a function", () => undefined, "unknown"],
  ["a frozen object", Object.freeze({ code: "ECONNREFUSED" }), "retryable"],
  ["an object without a prototype", Object.create(null), "unknown"],
  ["a code that cannot be text", { code: Object.create(null) as unknown }, "unknown"],
];

for (const [name, thrown, kind, more] of cells) {
  test(`judge: ${name} is ${kind}`, () => {
    assert.deepEqual(judge(thrown), { kind, reason: "HANDLER_FAILED", ...more });
  });
}

test("judge: which kinds may be retried", () => {
  const kinds: readonly FailureKind[] = [
    "retryable",
    "throttled",
    "permanent",
    "poison",
    "lockLost",
    "unauthorised",
    "ambiguous",
    "bug",
    "unknown",
  ];
  assert.deepEqual(kinds.filter(mayRetry), ["retryable", "throttled", "ambiguous", "unknown"]);
});

const refuse = (): never => {
  throw new Error("do not look");
};
const hostile: Readonly<Record<string, () => unknown>> = {
  undefined: () => undefined,
  "a frozen object": () => Object.freeze({ a: 1 }),
  "an object of getters that throw": () => ({
    get code(): never {
      return refuse();
    },
    get status(): never {
      return refuse();
    },
  }),
  "an error whose message and stack throw": () =>
    Object.defineProperties(new Error("x"), { message: { get: refuse }, stack: { get: refuse } }),
  "an error whose message is no text": () =>
    Object.assign(new Error("x"), { message: { toString: refuse } }),
  "an error whose message is a number": () =>
    Object.assign(new Error("x"), { message: 42 as never }),
  "a proxy that refuses everything": () =>
    new Proxy(Object.create(null) as object, {
      get: refuse,
      has: refuse,
      getPrototypeOf: refuse,
      ownKeys: refuse,
      getOwnPropertyDescriptor: refuse,
    }),
  "a revoked proxy": () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  },
};

for (const [name, make] of Object.entries(hostile)) {
  test(`a handler that throws ${name} is retried and then set aside like any other`, async () => {
    let runs = 0;
    const policy: RetryPolicy = { immediate: 1, attempts: 2, delayMs: 0 };
    const jobs = service("jobs").handle(
      Run,
      ({ id }) => {
        if (id === "fine") return;
        runs += 1;
        throw make();
      },
      { retry: policy, concurrency: 1 },
    );
    await using it = await tested([jobs]);
    await it.bus.send(Run, { id: "1" });
    const { failure } = await deadLetterOf(it.bus);
    assert.equal(runs, 4);
    assert.equal(typeof failure?.message, "string");
    await it.bus.send(Run, { id: "fine" });
    await until("the slot is free", async () => (await it.counted("jobs.run"))["handled"] === 1);
  });
}

test("a text is found for anything", () => {
  for (const make of Object.values(hostile)) assert.equal(typeof messageOf(make()), "string");
});

// The pause.

test("pauses grow by the factor, stop at the cap and shrink by at most the jitter", () => {
  const policy = { ...retryDefault, delayMs: 100, factor: 3, delayMsMax: 1_000, jitter: 0.5 };
  assert.deepEqual(
    [1, 2, 3, 4, 1_000].map((attempt) => retryDelayMs(policy, attempt, 0)),
    [100, 300, 900, 1_000, 1_000],
  );
  assert.equal(retryDelayMs(policy, 1, 0.999_999), 50);
});

// Two levels.

test("the immediate level runs inside one delivery, the delayed one after its pause", async () => {
  const environment = manualEnvironment();
  const runs: string[] = [];
  const jobs = service("jobs").handle(
    Run,
    (_value, context) => {
      runs.push(`${context.attempt} at ${context.now().getTime() - Date.UTC(2030, 0, 1)}`);
      throw new Error("always");
    },
    { retry: { immediate: 2, attempts: 3, delayMs: 1_000, factor: 2, jitter: 0 } },
  );
  await using it = await tested([jobs], { environment });
  await it.bus.send(Run, { id: "1" });
  await environment.advance(10_000);
  assert.deepEqual(runs, [
    "1 at 0",
    "1 at 0",
    "1 at 0",
    "2 at 1000",
    "2 at 1000",
    "2 at 1000",
    "3 at 3000",
    "3 at 3000",
    "3 at 3000",
  ]);
  const { failure } = await deadLetterOf(it.bus);
  const start = Date.UTC(2030, 0, 1);
  assert.deepEqual(
    { ...failure, stack: undefined },
    {
      reason: "HANDLER_FAILED",
      message: "always",
      stack: undefined,
      service: "jobs",
      handler: "jobs.handle(jobs.run)",
      attempts: 3,
      firstFailedAt: start,
      lastFailedAt: start + 3_000,
    },
  );
  assert.match(failure?.stack ?? "", /retry\.test\.ts/);
  const counted = await it.counted("jobs.run");
  assert.deepEqual(
    [counted["failed"], counted["retried"], counted["deadLettered"], counted["handled"]],
    [9, 2, 1, 0],
  );
});

test("every failure is logged with its pause or its end", async () => {
  const environment = manualEnvironment();
  const jobs = service("jobs").handle(Run, () => Promise.reject(new Error("always")), {
    retry: { immediate: 0, attempts: 2, delayMs: 500, jitter: 0 },
  });
  await using it = await tested([jobs], { environment });
  await it.bus.send(Run, { id: "1" });
  await environment.advance(1_000);
  assert.ok(it.logger.has("warn", /jobs\.handle\(jobs\.run\) failed; next try in 500 ms/));
  assert.ok(it.logger.has("error", /failed for good; the message is among the dead letters/));
});

test("a policy on the handler wins over that of the bus, field by field", async () => {
  let runs = 0;
  const jobs = service("jobs").handle(Run, () => (runs++, Promise.reject(new Error("always"))), {
    retry: { attempts: 2 },
  });
  await using it = await tested([jobs], {
    handlers: { retry: { attempts: 9, immediate: 0, delayMs: 0 } },
  });
  await it.bus.send(Run, { id: "1" });
  await deadLetterOf(it.bus);
  assert.equal(runs, 2);
});

for (const [name, error, runs] of [
  ["a permanent", with_({ retryable: false }), 1],
  ["an unauthorised", with_({ status: 403 }), 1],
  ["a bug's", new TypeError("x is not a function"), 1],
  ["a poison", own("MESSAGE_INVALID"), 1],
  ["a LOCK_LOST that is not true", own("LOCK_LOST"), 1],
  ["an unknown", new Error("x"), 4],
] as const) {
  test(`${name} failure costs ${runs} runs`, async () => {
    let count = 0;
    const jobs = service("jobs").handle(Run, () => (count++, Promise.reject(error)), {
      retry: { attempts: 2, immediate: 1, delayMs: 0 },
    });
    await using it = await tested([jobs]);
    await it.bus.send(Run, { id: "1" });
    await deadLetterOf(it.bus);
    assert.equal(count, runs);
  });
}

test("a throttled failure waits as long as the other side asked, and never at once", async () => {
  const environment = manualEnvironment();
  const at: number[] = [];
  const jobs = service("jobs").handle(
    Run,
    (_value, context) => {
      at.push(context.now().getTime() - Date.UTC(2030, 0, 1));
      if (at.length === 1) throw with_({ retryAfterMs: 7_000 });
    },
    { retry: { immediate: 5 } },
  );
  await using it = await tested([jobs], { environment });
  await it.bus.send(Run, { id: "1" });
  await environment.advance(60_000);
  assert.deepEqual(at, [0, 7_000]);
});

test("retry() counts as an attempt, keeps its reason and ends in the dead letters", async () => {
  const environment = manualEnvironment();
  const at: number[] = [];
  const jobs = service("jobs").handle(
    Run,
    (_value, context) => {
      at.push(context.now().getTime() - Date.UTC(2030, 0, 1));
      return retry({ afterMs: 100, reason: "not yet" });
    },
    { retry: { attempts: 3 } },
  );
  await using it = await tested([jobs], { environment });
  await it.bus.send(Run, { id: "1" });
  await environment.advance(1_000);
  assert.deepEqual(at, [0, 100, 200]);
  const { failure } = await deadLetterOf(it.bus);
  assert.deepEqual(
    [failure?.reason, failure?.message, failure?.attempts],
    ["HANDLER_FAILED", "not yet", 3],
  );
});

for (const [name, options] of [
  ["in place, in an ordered lane", { orderedBy: () => "one" }],
  ["by the broker", {}],
] as const) {
  test(`retry({ afterMs }) waits ${name}, and the message is settled once`, async () => {
    const environment = manualEnvironment();
    const settlements: string[] = [];
    const transport = watched(memory(), (inner) => ({
      receive: (source, receiving, listener) =>
        inner.receive(source, receiving, {
          ...listener,
          deliver: (batch) => {
            for (const delivery of batch) {
              const settle = delivery.settle.bind(delivery);
              delivery.settle = (settlement) => (
                settlements.push(settlement.kind),
                settle(settlement)
              );
            }
            listener.deliver(batch);
          },
        }),
    }));
    const attempts: number[] = [];
    const jobs = service("jobs").handle(
      Run,
      (_value, { attempt }) => (
        attempts.push(attempt),
        attempts.length < 3 ? retry({ afterMs: 100 }) : undefined
      ),
      options,
    );
    await using it = await tested([jobs], { environment, transport });
    await it.bus.send(Run, { id: "1" });
    await environment.advance(1_000);
    assert.deepEqual(attempts, [1, 2, 3]);
    assert.deepEqual(
      settlements,
      "orderedBy" in options ? ["complete"] : ["retry", "retry", "complete"],
    );
  });
}

// Crashes and lost locks.

test("a message whose handler kills its process every time ends among the dead letters", async () => {
  const environment = manualEnvironment();
  const broker = memory();
  let runs = 0;
  const poisoned = service("jobs").handle(Run, () => (runs++, new Promise<void>(() => undefined)), {
    retry: { attempts: 3 },
    lockMs: 1_000,
  });
  await using sender = await tested([service("sender", { sends: [Run] })], {
    transport: broker,
    environment,
  });
  await sender.bus.send(Run, { id: "1" });
  for (let life = 1; life <= 3; life++) {
    const transport = watched(broker);
    const it = await tested([poisoned], { transport, environment });
    await turns();
    assert.equal(runs, life);
    broker.crash(transport.opened[0]!.instance);
    await environment.advance(2_000);
    void it;
  }
  await using last = await tested([poisoned], { transport: broker, environment });
  const { failure } = await deadLetterOf(last.bus);
  assert.equal(runs, 3);
  assert.equal(failure?.reason, "HANDLER_CRASHED");
  assert.match(failure.message, /given this message 3 times and did not settle it the last time/);
});

test("a lost lock aborts the signal, also when it is asked for afterwards, and the result does not count", async () => {
  const broker = memory();
  const losses: (() => void)[] = [];
  const transport = watched(broker, (inner) => ({
    receive: (source, options, listener) =>
      inner.receive(source, options, {
        ...listener,
        deliver: (batch) => {
          listener.deliver(batch);
          for (const delivery of batch) {
            losses.push(() => {
              delivery.settle = () => Promise.resolve("lockLost");
              delivery.onLockLost?.();
            });
          }
        },
      }),
  }));
  const go = gate();
  const reasons: unknown[] = [];
  const jobs = service("jobs", { publishes: [Ran] })
    .handle(Run, async (value, context) => {
      const early = value.id === "early" ? context.signal : undefined;
      await context.publish(Ran, value);
      await go.passed;
      reasons.push((early ?? context.signal).reason.code);
      await context.sleep(1_000); // rejects at once
    })
    .on(Ran, () => assert.fail("it left"));
  const it = await tested([jobs], { transport });
  await it.bus.send(Run, { id: "early" });
  await it.bus.send(Run, { id: "late" });
  await until("both run", () => losses.length === 2);
  for (const lose of losses) lose();
  go.open();
  await until("both saw it", () => reasons.length === 2);
  assert.deepEqual(reasons, ["LOCK_LOST", "LOCK_LOST"]);
  await until("both are counted", async () => (await it.counted("jobs.run"))["lockLost"] === 2);
  await it.bus.close();
});

test("a message whose lock was lost while it waited for its turn is not run here any more", async () => {
  const losses: (() => void)[] = [];
  const transport = watched(memory(), (inner) => ({
    receive: (source, options, listener) =>
      inner.receive(source, options, {
        ...listener,
        deliver: (batch) => {
          listener.deliver(batch);
          for (const delivery of batch) losses.push(() => delivery.onLockLost?.());
        },
      }),
  }));
  const seen: string[] = [];
  const go = gate();
  const jobs = service("jobs").handle(Run, async ({ id }) => (seen.push(id), await go.passed), {
    concurrency: 1,
    orderedBy: () => "one",
  });
  await using it = await tested([jobs], { transport });
  for (const id of ["1", "2", "3"]) await it.bus.send(Run, { id });
  await until("all are here", () => losses.length === 3);
  losses[1]?.();
  go.open();
  await until("the third", () => seen.includes("3"));
  assert.deepEqual(seen, ["1", "3"]);
});

test("what waits in place for its retry is dropped when its lock is lost, and its lane goes on", async () => {
  const environment = manualEnvironment();
  let lose: (() => void) | undefined;
  const transport = watched(memory(), (inner) => ({
    receive: (source, options, listener) =>
      inner.receive(source, options, {
        ...listener,
        deliver: (batch) => {
          listener.deliver(batch);
          lose ??= () => batch[0]?.onLockLost?.();
        },
      }),
  }));
  const Log = stream("jobs.log", { item: Job, key: () => "k", partitions: 1 });
  const seen: string[] = [];
  const jobs = service("jobs", { appends: [Log] }).consume(
    Log,
    ({ id }) => {
      seen.push(id);
      if (id === "1") throw new Error("always");
    },
    { retry: { immediate: 0, delayMs: 1_000 } },
  );
  await using it = await tested([jobs], { environment, transport });
  await it.bus.append(Log, { id: "1" });
  await it.bus.append(Log, { id: "2" });
  await turns();
  assert.deepEqual(seen, ["1"]);
  lose?.();
  await environment.advance(1_000);
  assert.deepEqual(seen, ["1", "2"]);
});
