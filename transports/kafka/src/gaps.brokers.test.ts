import assert from "node:assert/strict";
import { test } from "node:test";
import type { Delivery, Listener } from "@waybill/core";
import { Corner, complete, message, open, until } from "./corner.test.support.ts";

const topology = { queues: [{ name: "orders" }], topics: [], subscriptions: [], streams: [] };
const orders = { kind: "queue", name: "orders" } as const;
/** Every second one is settled: more gaps than the metadata of an offset has room for. */
const count = 4_000;
const limits = { prefetch: count, prefetchBytes: 10_000_000, lockMs: 30_000 };

function taking(taken: Delivery[], faults: Error[]): Listener {
  return {
    deliver: (batch) => void taken.push(...batch),
    fault: (error) => void faults.push(error),
  };
}

test("with more gaps than Kafka keeps, what is unfinished comes again, most of the rest does not, and all of it can end", async () => {
  await using corner = new Corner();
  const [taken, again]: [Delivery[], Delivery[]] = [[], []];
  const faults: Error[] = [];
  {
    await using first = await open(corner.factory({ partitions: 1 }));
    await first.declare(topology);
    await first.send(Array.from({ length: count }, (_, index) => message(String(index))));
    first.receive(orders, limits, taking(taken, faults));
    await until("all of them", () => taken.length === count);
    const odd = taken.filter((_, index) => index % 2 === 1);
    const settled = await Promise.all(odd.map((each) => each.settle({ kind: "complete" })));
    assert.ok(settled.every((answer) => answer === "settled"));
  }
  await using second = await open(corner.factory());
  await second.declare(topology);
  const { deliver, fault } = taking(again, faults);
  const ending = (batch: readonly Delivery[]): void => {
    deliver(batch);
    batch.forEach(complete);
  };
  second.receive(orders, limits, { deliver: ending, fault });
  const idsOf = (deliveries: readonly Delivery[]): ReadonlySet<string> =>
    new Set(deliveries.map(({ envelope }) => envelope.header.id));
  const unfinished = taken
    .filter((_, index) => index % 2 === 0)
    .map((each) => each.envelope.header.id);
  await until("what is unfinished", () => idsOf(again).isSupersetOf(new Set(unfinished)));
  await until("nothing is left", async () => {
    const [state] = await second.inspection.addresses();
    return state?.ready === 0;
  });
  const repeated = again.length - unfinished.length;
  assert.ok(repeated < count / 2 - 500, `${repeated} of ${count / 2} came a second time`);
  assert.deepEqual(faults, []);
});

test("what is in hand when a transport closes is told to be lost, settles in vain, and comes to the next", async () => {
  await using corner = new Corner();
  const first = await open(corner.factory({ partitions: 1 }));
  await first.declare(topology);
  await first.send(["settled", "settling", "held"].map(message));
  const taken: Delivery[] = [];
  const lost: string[] = [];
  first.receive(
    orders,
    { ...limits, prefetch: 3 },
    {
      deliver: (batch) => {
        for (const each of batch) {
          each.onLockLost = () => void lost.push(each.envelope.header.id);
          taken.push(each);
        }
      },
      fault: () => undefined,
    },
  );
  await until("three", () => taken.length === 3);
  const [settled, settling, held] = taken;
  assert.equal(await settled?.settle({ kind: "complete" }), "settled");
  const answer = settling?.settle({ kind: "complete" });
  await first[Symbol.asyncDispose]();
  const told = await answer;
  assert.equal(await held?.settle({ kind: "complete" }), "lockLost");
  assert.ok(lost.includes("held"));
  await assert.rejects(first.send([message("late")]), { code: "CLOSED" });
  await using second = await open(corner.factory());
  const again: Delivery[] = [];
  second.receive(orders, limits, taking(again, []));
  // Who was told that it is settled has settled it; who was not may have.
  const wanted = told === "settled" ? ["held"] : ["held", "settling"];
  await until("what is left", () => again.some(({ envelope }) => envelope.header.id === "held"));
  const ids = again.map(({ envelope }) => envelope.header.id);
  assert.ok(
    ids.every((id) => wanted.includes(id)),
    `${told}: ${ids.join()}`,
  );
});

test("what a transaction of others gave up does not come to a queue, and what it committed does", async () => {
  await using corner = new Corner();
  await using transport = await open(corner.factory({ partitions: 1 }));
  await transport.declare(topology);
  const producer = corner.producer({ transactionalId: `${corner.prefix}.others` });
  const topic = corner.names.queueTopic("orders");
  for (const [value, ending] of [
    ["given up", "abort"],
    ["kept", "commit"],
  ] as const) {
    const transaction = await producer.beginTransaction();
    await transaction.send({ messages: [{ topic, partition: 0, value: Buffer.from(value) }] });
    await transaction[ending]();
  }
  await transport.send([message("last")]);
  const taken: Delivery[] = [];
  transport.receive(orders, limits, taking(taken, []));
  await until("the last", () => taken.some(({ envelope }) => envelope.header.id === "last"));
  assert.deepEqual(
    taken.map(({ envelope }) => Buffer.from(envelope.body).toString()),
    ["kept", "last"],
  );
});
