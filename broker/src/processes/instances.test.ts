import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeEnvironment, stallingEnvironment } from "@waybill/testkit";
import { folder, open, probe, toQueue, topology } from "../fixture.test.support.ts";

const owned = (service: string) =>
  topology({
    queues: [{ name: "orders", owner: { service, place: `file:///${service}.ts:3:1` } }],
  });

test("the owner of a queue is named as long as its process lives, and replaced when it died", async (context) => {
  const directory = folder(context);
  const environment = fakeEnvironment();
  const mortal = stallingEnvironment(environment);
  const first = await open(context, directory, { environment: mortal });
  await first.declare(owned("ordering"));
  const second = await open(context, directory, { environment });
  await environment.advance(30_000);
  await assert.rejects(
    second.declare(owned("billing")),
    (error: { code?: string; message: string }) => {
      assert.equal(error.code, "OWNED_TWICE");
      for (const word of [
        "ordering",
        "billing",
        "file:///ordering.ts:3:1",
        "file:///billing.ts:3:1",
        '"orders"',
      ])
        assert.ok(error.message.includes(word), error.message);
      return true;
    },
  );
  mortal.stall();
  await environment.advance(12_000);
  await second.declare(owned("billing"));
  mortal.wake();
});

test("the temporary queues of a process that died go, with everything in them", async (context) => {
  const directory = folder(context);
  const environment = fakeEnvironment();
  const mortal = stallingEnvironment(environment);
  const dying = await open(context, directory, { environment: mortal });
  await dying.declare(topology({ queues: [{ name: "reply", temporary: true }] }));
  const other = await open(context, directory, { environment });
  for (let count = 0; count < 1_200; count++)
    await other.send([
      toQueue(
        "reply",
        `${count}`,
        count % 2 === 0 ? {} : { notBefore: environment.clock.now() + 90_000 },
      ),
    ]);
  mortal.stall();
  await environment.advance(15_000);
  await assert.rejects(other.send([toQueue("reply", "late")]), { code: "UNROUTABLE" });
  assert.deepEqual(await other.inspection.addresses(), []);
  assert.deepEqual(await other.inspection.list({ state: "scheduled", limit: 10 }), []);
  mortal.wake();
});

test("a process that was taken for dead declares itself again when it comes back", async (context) => {
  const directory = folder(context);
  const environment = fakeEnvironment();
  const sleepy = stallingEnvironment(environment);
  const transport = await open(context, directory, { environment: sleepy });
  await transport.declare(topology({ queues: [{ name: "reply", temporary: true }] }));
  const other = await open(context, directory, { environment });
  sleepy.stall();
  await environment.advance(15_000);
  await assert.rejects(other.send([toQueue("reply", "late")]), { code: "UNROUTABLE" });
  sleepy.wake();
  await environment.advance(5_000);
  await other.send([toQueue("reply", "in time")]);
});

test("a dead process whose lock still runs is left alone until that ends, without a loop", async (context) => {
  const directory = folder(context);
  const environment = fakeEnvironment();
  const mortal = stallingEnvironment(environment);
  const dying = await open(context, directory, { environment: mortal });
  await dying.declare(topology({ queues: [{ name: "orders" }, { name: "r", temporary: true }] }));
  await dying.send([toQueue("orders", "held")]);
  const { deliveries } = probe(dying, { kind: "queue", name: "orders" }, { lockMs: 60_000 });
  await environment.advance(10);
  assert.equal(deliveries.length, 1);
  let timers = 0;
  const { clock, random } = environment;
  const set: typeof environment.timers.set = (callback, delayMs) => {
    timers += 1;
    return environment.timers.set(timers > 1_000 ? () => {} : callback, delayMs);
  };
  const counting = {
    clock,
    random,
    id: () => environment.id(),
    timers: { soon: environment.timers.soon, set },
  };
  const other = await open(context, directory, { environment: counting });
  mortal.stall();
  await environment.advance(40_000);
  assert.equal(deliveries.length, 1);
  await other.send([toQueue("r", "its lock still runs")]);
  await environment.advance(25_000);
  await assert.rejects(other.send([toQueue("r", "late")]), { code: "UNROUTABLE" });
  assert.ok(timers < 1_000, `${timers} timers in 65 seconds`);
  mortal.wake();
});
