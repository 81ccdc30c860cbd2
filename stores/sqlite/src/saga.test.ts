import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, command, event } from "@waybill/contracts";
import { saga, service } from "@waybill/core";
import { type TestBus, testBus } from "@waybill/testkit";
import { sqlite } from "./index.ts";

interface ForOrder {
  readonly orderId: string;
}
const forOrder: Schema<ForOrder> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => ({ value: value as ForOrder }),
  },
};
const OrderPlaced = event("orders.placed", { payload: forOrder });
const Reserve = command("stock.reserve", { input: forOrder });
const Release = command("stock.release", { input: forOrder });
const Reserved = event("stock.reserved", { payload: forOrder });
const Charge = command("payment.charge", { input: forOrder });
const Paid = event("payment.paid", { payload: forOrder });
const Chat = event("orders.chat", { payload: forOrder });

const paymentMs = 900_000;
const archiveMs = 3_600_000;
const by = ({ orderId }: ForOrder): string => orderId;
const text: Schema<{ order: string; reminders: number }> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as any }) },
};

const process = (rules: { late?: "ignore"; unexpected?: "ignore" } = {}) =>
  saga("order-process", {
    store: sqlite({ file: ":memory:" }),
    state: text,
    phases: ["reserving", "charging", "done", "cancelled"],
    sends: [Reserve, Release, Charge],
    timeouts: ["payment"],
    archiveMs,
    ...rules,
  })
    .startedBy(
      OrderPlaced,
      { by, state: ({ orderId }) => ({ order: orderId, reminders: 0 }), to: ["reserving"] },
      async (order, own) => {
        await own.send(Reserve, order);
        await own.undo(Release, order);
        return "reserving";
      },
    )
    .on(Reserved, { by, in: ["reserving"], to: ["charging"] }, async (reserved, own) => {
      await own.send(Charge, reserved);
      await own.timeout("payment", { afterMs: paymentMs });
      return "charging";
    })
    .on(Chat, { by, in: ["charging"], to: ["charging"] }, async (_event, own) => {
      own.state.reminders += 1;
      await own.timeout("payment", { at: new Date(own.now().getTime() + paymentMs) });
      return "charging";
    })
    .on(Paid, { by, in: ["charging"], to: ["done"] }, () => "done")
    .onTimeout("payment", { in: ["charging"], to: ["cancelled"] }, async (own) => {
      await own.compensate();
      return "cancelled";
    });

const world = service("world", { publishes: [OrderPlaced, Reserved, Paid, Chat] })
  .handle(Reserve, async ({ orderId }, { publish }) => void (await publish(Reserved, { orderId })))
  .handle(Release, () => undefined)
  .handle(Charge, () => undefined);

const order = { orderId: "o-1" };
const timer = "order-process.timeout";

async function ignored(bus: TestBus): Promise<number> {
  return (await bus.health()).contracts[timer]?.ignored ?? 0;
}

test("a payment that does not come in time cancels the order: to the millisecond, by compensation, on the fake clock", async () => {
  const orders = process();
  await using bus = await testBus([orders, world]);
  await bus.publish(OrderPlaced, order);
  await bus.settled();
  const running = await bus.sagas(orders).find("o-1");
  assert.deepEqual(
    [running?.phase, running?.version, running?.timeouts, running?.finishedAt],
    ["charging", 2, ["payment"], undefined],
  );
  await bus.advance(paymentMs - 1);
  assert.equal((await bus.sagas(orders).find("o-1"))?.phase, "charging");
  assert.deepEqual(bus.sent(Release), []);
  await bus.advance(1);
  const ended = await bus.sagas(orders).find("o-1");
  assert.equal(ended?.phase, "cancelled");
  assert.equal((ended?.finishedAt?.getTime() ?? 0) - (ended?.startedAt.getTime() ?? 0), paymentMs);
  assert.deepEqual(bus.sent(Release), [order]);
});

test("a timeout that was set anew, and one of a saga that has finished, are completed in silence and counted", async () => {
  const orders = process();
  await using bus = await testBus([orders, world]);
  await bus.publish(OrderPlaced, order);
  await bus.advance(600_000);
  await bus.publish(Chat, order);
  await bus.advance(paymentMs - 1);
  assert.equal(await ignored(bus), 1);
  assert.equal((await bus.sagas(orders).find("o-1"))?.phase, "charging");
  await bus.publish(Paid, order);
  await bus.advance(1_000);
  assert.equal((await bus.sagas(orders).find("o-1"))?.phase, "done");
  assert.equal(await ignored(bus), 2);
  assert.deepEqual(bus.sent(Release), []);
  assert.deepEqual(await bus.deadLetters.list(), []);
  assert.ok(!bus.log.some(({ level }) => level === "error" || level === "warn"));
});

test("one that has finished is remembered for its time, then forgotten; a message for it is named in its dead letter", async () => {
  const orders = process();
  await using bus = await testBus([orders, world]);
  await bus.publish(OrderPlaced, order);
  await bus.advance(paymentMs);
  await bus.publish(Paid, order);
  await bus.settled();
  assert.equal((await bus.dead(Paid))[0]?.failure?.reason, "SAGA_FINISHED");
  await bus.advance(archiveMs - 60_000);
  assert.equal((await bus.sagas(orders).list()).length, 1);
  await bus.advance(120_000);
  assert.deepEqual(await bus.sagas(orders).list(), []);
  assert.equal(await bus.sagas(orders).find("o-1"), undefined);
});

test("what comes too early waits by the rule retry; what is ignored is counted and logged", async () => {
  const orders = process({ late: "ignore" });
  await using bus = await testBus([orders, world]);
  await bus.publish(Paid, order);
  await bus.settled();
  await bus.publish(OrderPlaced, order);
  await bus.settled();
  await bus.advance(60_000);
  const found = await bus.sagas(orders).find("o-1");
  assert.equal(found?.phase, "done");
  await bus.publish(OrderPlaced, order);
  await bus.settled();
  assert.deepEqual(await bus.sagas(orders).find("o-1"), found);
  const { contracts } = await bus.health();
  assert.equal(contracts["orders.placed"]?.ignored, 1);
  assert.ok(bus.log.some(({ level, message }) => level === "info" && /has finished/.test(message)));
  assert.deepEqual(await bus.deadLetters.list(), []);
});

test("a saga stands on the map: explain, health and a listing by phase know it, and an unknown one is refused", async () => {
  const orders = process();
  await using bus = await testBus([orders, world]);
  const explained = await bus.explain(OrderPlaced);
  assert.deepEqual(
    explained.takers.map(({ service: name, address }) => [name, address]),
    [["order-process", "orders.placed/order-process"]],
  );
  assert.deepEqual((await bus.explain(Reserve)).speakers, ["order-process"]);
  for (const orderId of ["a", "b", "c"]) await bus.publish(OrderPlaced, { orderId });
  await bus.settled();
  await bus.publish(Paid, { orderId: "b" });
  await bus.settled();
  const ids = async (phase: "charging" | "done"): Promise<readonly string[]> =>
    (await bus.sagas(orders).list({ phase })).map(({ id }) => id);
  assert.deepEqual([await ids("charging"), await ids("done")], [["a", "c"], ["b"]]);
  await assert.rejects(bus.sagas(orders).list({ limit: 0 }), { code: "OPTION_INVALID" });
  const stranger = saga("stranger", {
    store: sqlite({ file: ":memory:" }),
    state: text,
    phases: ["open"],
  });
  assert.throws(() => bus.sagas(stranger), { code: "NOT_FOUND" });
});
