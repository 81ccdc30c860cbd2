import assert from "node:assert/strict";
import { test } from "node:test";
import { type Delivery, type Logger, type Transport, memory } from "@waybill/core";
import { type FakeEnvironment, fakeEnvironment } from "./environment.ts";
import { type FaultyFactory, withFaults } from "./faults.ts";
import type { FaultPlan } from "./faults/plan.ts";
import { numbers, toQueue, toStream, topology } from "./suite/messages.ts";
import { bodyText, complete } from "./suite/probe.ts";
import { transportSuite } from "./transport-suite.ts";

const logger: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

interface Setting {
  readonly environment: FakeEnvironment;
  readonly faults: FaultyFactory;
  readonly transport: Transport;
}

async function set(plan: FaultPlan, seed = 1): Promise<Setting> {
  const environment = fakeEnvironment({ seed });
  const faults = withFaults(memory(), { seed, plan });
  const transport = await faults.open({
    environment,
    logger,
    instance: "one",
    unrouted: () => {},
  });
  await transport.declare(
    topology({
      queues: [{ name: "queue" }],
      streams: [{ name: "stream", partitions: 2, retention: {} }],
    }),
  );
  return { environment, faults, transport };
}

/** Settles everything until all is quiet; answers what came, in order. */
async function collect(
  { environment, transport }: Setting,
  kind: "queue" | "stream",
  answers: string[] = [],
): Promise<string[]> {
  const bodies: string[] = [];
  const source =
    kind === "queue"
      ? ({ kind, name: "queue" } as const)
      : ({ kind, name: "stream", group: "readers" } as const);
  transport.receive(
    source,
    { prefetch: 10, prefetchBytes: 1e6, lockMs: 60_000 },
    {
      deliver: (batch: readonly Delivery[]) => {
        for (const delivery of batch) {
          bodies.push(bodyText(delivery));
          void delivery.settle(complete).then((answer) => answers.push(answer));
        }
      },
      fault: assert.ifError,
    },
  );
  await environment.advance(60_000);
  return bodies;
}

const sendAll = (transport: Transport) =>
  transport.send(numbers(100).map((body) => toQueue("queue", body)));

test("a duplicated message is delivered twice, each with the same id", async () => {
  const setting = await set({ duplicate: 0.2 });
  await sendAll(setting.transport);
  const bodies = await collect(setting, "queue");
  const { duplicate } = setting.faults.injected;
  assert.ok(duplicate > 5 && duplicate < 40, `${duplicate}`);
  assert.equal(bodies.length, 100 + duplicate);
  assert.equal(new Set(bodies).size, 100);
});

test("delayed and reordered messages all come, in another order", async () => {
  const setting = await set({ delay: 0.3, reorder: 0.5, delayMsMax: 500 });
  await sendAll(setting.transport);
  const bodies = await collect(setting, "queue");
  assert.notDeepEqual(bodies, numbers(100));
  assert.deepEqual(bodies.toSorted(), numbers(100).toSorted());
  assert.ok(setting.faults.injected.delay > 10 && setting.faults.injected.reorder > 0);
});

test("faults keep the order within the partitions of a stream", async () => {
  const setting = await set({ delay: 0.5, reorder: 1, delayMsMax: 500 });
  for (const body of numbers(50))
    await setting.transport.send([
      toStream("stream", body, Number(body) % 2 === 0 ? "even" : "odd"),
    ]);
  const bodies = await collect(setting, "stream");
  for (const rest of [0, 1]) {
    assert.deepEqual(
      bodies.filter((body) => Number(body) % 2 === rest),
      numbers(50).filter((body) => Number(body) % 2 === rest),
    );
  }
  assert.ok(setting.faults.injected.delay > 0);
  assert.equal(setting.faults.injected.reorder, 0);
});

test("a message whose settlement was dropped comes back, and its answer was unknown", async () => {
  const setting = await set({ dropSettlement: 0.2 });
  await sendAll(setting.transport);
  const answers: string[] = [];
  const bodies = await collect(setting, "queue", answers);
  const { dropSettlement } = setting.faults.injected;
  assert.ok(dropSettlement > 5);
  assert.equal(bodies.length, 100 + dropSettlement);
  assert.equal(answers.filter((answer) => answer === "unknown").length, dropSettlement);
});

test("a lost answer changes nothing but the answer", async () => {
  const setting = await set({ loseAnswer: 0.2 });
  await sendAll(setting.transport);
  const answers: string[] = [];
  assert.equal((await collect(setting, "queue", answers)).length, 100);
  assert.equal(
    answers.filter((answer) => answer === "unknown").length,
    setting.faults.injected.loseAnswer,
  );
});

test("a failed send stores nothing, a lost confirmation stores all, and both reject as retryable", async () => {
  for (const [plan, stored] of [
    [{ failSend: 1 }, 0],
    [{ loseConfirm: 1 }, 100],
  ] as const) {
    const setting = await set(plan);
    await assert.rejects(sendAll(setting.transport), { code: "TRANSPORT_FAILED", retryable: true });
    assert.equal((await collect(setting, "queue")).length, stored);
  }
});

test("nothing is delivered after stop, however late it was", async () => {
  const setting = await set({ delay: 1, delayMsMax: 1_000 });
  await sendAll(setting.transport);
  let came = 0;
  const receiver = setting.transport.receive(
    { kind: "queue", name: "queue" },
    { prefetch: 10, prefetchBytes: 1e6, lockMs: 60_000 },
    {
      deliver: (batch) => void (came += batch.length),
      fault: assert.ifError,
    },
  );
  await setting.environment.drain();
  await receiver.stop();
  await setting.environment.advance(5_000);
  assert.equal(came, 0);
  setting.faults.calm();
  assert.deepEqual(await collect(setting, "queue"), numbers(100));
});

test("the same seed injects the same faults, another seed others", async () => {
  const plan: FaultPlan = {
    duplicate: 0.1,
    delay: 0.2,
    reorder: 0.3,
    dropSettlement: 0.1,
    loseAnswer: 0.1,
  };
  const run = async (seed: number) => {
    const setting = await set(plan, seed);
    await sendAll(setting.transport);
    return { bodies: await collect(setting, "queue"), injected: setting.faults.injected };
  };
  assert.deepEqual(await run(7), await run(7));
  assert.notDeepEqual((await run(7)).bodies, (await run(8)).bodies);
});

transportSuite("memory behind withFaults without a fault", {
  publish: false,
  create: () => {
    const environment = fakeEnvironment();
    const factory = withFaults(memory(), { plan: {} });
    return { factory, environment, pass: (ms) => environment.advance(ms), dispose: async () => {} };
  },
});
