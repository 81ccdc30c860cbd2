import assert from "node:assert/strict";
import { once } from "node:events";
import { type TestContext, test } from "node:test";
import { systemEnvironment } from "@waybill/core";
import { type FakeEnvironment, fakeEnvironment, stallingEnvironment } from "@waybill/testkit";
import { folder, open, probe, toQueue, topology, until } from "../fixture.test.support.ts";
import { heard, startWorker } from "../worker.test.support.ts";

const queue = "orders";
const source = { kind: "queue", name: queue } as const;
const hourMs = 60 * 60 * 1000;

async function begin(context: TestContext, environment: FakeEnvironment, directory: string) {
  const mortal = stallingEnvironment(environment);
  const holder = await open(context, directory, { environment: mortal });
  await holder.declare(topology({ queues: [{ name: queue }] }));
  return { holder, mortal, other: await open(context, directory, { environment }) };
}

for (const jumpMs of [hourMs, -hourMs]) {
  const way = jumpMs > 0 ? "on" : "back";

  test(`the wall clock jumps ${way} by an hour: a lock stays with who renews it`, async (context) => {
    const environment = fakeEnvironment();
    const { holder, other } = await begin(context, environment, folder(context));
    await other.send([toQueue(queue, "held")]);
    const held = probe(holder, source, { lockMs: 1_000 });
    const rival = probe(other, source, { lockMs: 1_000 });
    await environment.advance(10);
    const [first, second] = [held, rival].filter(({ deliveries }) => deliveries.length > 0);
    assert.ok(first !== undefined && second === undefined, "one of them holds it");
    environment.jump(jumpMs);
    await environment.advance(5_000);
    assert.equal(held.deliveries.length + rival.deliveries.length, 1);
    assert.equal(await first.deliveries[0]?.settle({ kind: "complete" }), "settled");
  });

  test(`the wall clock jumps ${way} by an hour: a dead process's lock ends in its time`, async (context) => {
    const environment = fakeEnvironment();
    const { holder, mortal, other } = await begin(context, environment, folder(context));
    await other.send([toQueue(queue, "orphan")]);
    const { deliveries: first } = probe(holder, source, { lockMs: 3_000 });
    await environment.advance(10);
    assert.equal(first.length, 1);
    mortal.stall();
    environment.jump(jumpMs);
    const { deliveries } = probe(other, source);
    await environment.advance(2_900);
    assert.equal(deliveries.length, 0);
    await environment.advance(2_500);
    assert.equal(deliveries[0]?.attempt, 2);
    mortal.wake();
  });

  test(`the wall clock jumps ${way} by an hour: a process that lives is not taken for dead`, async (context) => {
    const environment = fakeEnvironment();
    const { holder, other } = await begin(context, environment, folder(context));
    await holder.declare(topology({ queues: [{ name: "reply", temporary: true }] }));
    environment.jump(jumpMs);
    await environment.advance(20_000);
    await other.send([toQueue("reply", "still there")]);
  });

  test(`the wall clock jumps ${way} by an hour: nothing comes before the clock shows its moment`, async (context) => {
    const environment = fakeEnvironment();
    const { other } = await begin(context, environment, folder(context));
    const begun = environment.clock.now();
    const moment = begun + Math.max(0, jumpMs) + 120_000;
    await other.send([toQueue(queue, "later", { notBefore: moment })]);
    const seenAt: number[] = [];
    probe(other, source, { onDelivery: () => seenAt.push(environment.clock.now()) });
    await environment.advance(30_000);
    environment.jump(jumpMs);
    await environment.advance(85_000);
    assert.deepEqual(seenAt, [], "it came early");
    if (jumpMs < 0) {
      await environment.advance(60_000);
      assert.deepEqual(seenAt, [], "it came when the clock showed an hour less than its moment");
      environment.jump(-jumpMs);
    }
    await environment.advance(10_000);
    const [at = 0] = seenAt;
    const late = at - (jumpMs < 0 ? begun + 175_000 : moment);
    assert.ok(late >= 0 && late < 2_000, `${late} ms after its moment`);
  });
}

test("after a restart of the machine the locks of before it are void, and their attempts count", async (context) => {
  const directory = folder(context);
  const before = fakeEnvironment({ boot: "before" });
  const { holder, mortal, other } = await begin(context, before, directory);
  await holder.declare(topology({ queues: [{ name: "reply", temporary: true }] }));
  await other.send([toQueue(queue, "survivor")]);
  const { deliveries: first } = probe(holder, source, { lockMs: 10 * hourMs });
  await before.advance(10);
  assert.equal(first.length, 1);
  mortal.stall();
  // The clock of the machine begins anew, so the moments of before it lie far ahead.
  const after = fakeEnvironment({ boot: "after", startAt: Date.UTC(2029, 0, 1) });
  const reopened = await open(context, directory, { environment: after });
  const { deliveries } = probe(reopened, source);
  await after.advance(10);
  assert.equal(deliveries[0]?.attempt, 2);
  await assert.rejects(reopened.send([toQueue("reply", "nobody")]), { code: "UNROUTABLE" });
  const settling = first[0]?.settle({ kind: "complete" });
  mortal.wake();
  assert.equal(await settling, "lockLost");
});

test("without a clock of the machine locks run on the wall clock", async (context) => {
  const environment = fakeEnvironment();
  const { now, monotonic } = environment.clock;
  const plain = { ...environment, clock: { now, monotonic } };
  Object.assign(plain, { id: () => environment.id() });
  const directory = folder(context);
  const mortal = stallingEnvironment(plain);
  const holder = await open(context, directory, { environment: mortal });
  await holder.declare(topology({ queues: [{ name: queue }] }));
  const other = await open(context, directory, { environment: plain });
  await other.send([toQueue(queue, "held")]);
  probe(holder, source, { lockMs: 1_000 });
  await environment.advance(10);
  mortal.stall();
  const { deliveries } = probe(other, source);
  await environment.advance(3_000);
  assert.equal(deliveries[0]?.attempt, 2);
  mortal.wake();
});

test("a process whose clock jumps by an hour all the time neither loses its lock nor takes another's", async (context) => {
  if (systemEnvironment.clock.machine === undefined) return context.skip("no clock of the machine");
  const directory = folder(context);
  const transport = await open(context, directory);
  await transport.declare(topology({ queues: [{ name: queue }] }));
  await transport.send([toQueue(queue, "theirs")]);
  const order = { directory, queue, role: "hold", count: 0, jumpMs: hourMs } as const;
  const worker = startWorker({ ...order, lockMs: 2_000 });
  context.after(() => worker.kill("SIGKILL"));
  assert.equal(await heard(worker), "holding");
  const { deliveries } = probe(transport, source, { lockMs: 2_000 });
  await transport.send([toQueue(queue, "ours")]);
  await until("our own message", () => deliveries.length === 1);
  // Twice the length of its lock in which it renews, and in which it looks for locks of ours that have ended.
  const begun = performance.now();
  await until("time to pass", () => performance.now() - begun > 4_000);
  assert.deepEqual(
    deliveries.map(({ envelope }) => envelope.body),
    ["ours"],
  );
  assert.equal(await deliveries[0]?.settle({ kind: "complete" }), "settled");
  const answer = heard(worker);
  worker.send("settle");
  assert.equal(await answer, "settled");
  worker.kill("SIGKILL");
  await once(worker, "exit");
});
