import assert from "node:assert/strict";
import { test } from "node:test";
import { Admin } from "@platformatic/kafka";
import type { Delivery, Listener } from "@waybill/core";
import { TcpFaultProxy } from "@waybill/testkit";
import { Corner, ignore, message, open, port, until } from "./corner.test.support.ts";

const topology = { queues: [{ name: "orders" }], topics: [], subscriptions: [], streams: [] };
const limits = { prefetch: 20, prefetchBytes: 1_000_000, lockMs: 3_000 };
const orders = { kind: "queue", name: "orders" } as const;

/** Takes what comes, and does nothing more. */
function taking(taken: Delivery[]): Listener {
  return { deliver: (batch) => void taken.push(...batch), fault: ignore };
}

test("what was stored, and its confirmation lost, is sent again and not stored again", async () => {
  await using corner = new Corner();
  await using proxy = await TcpFaultProxy.listen({ port });
  await using transport = await open(corner.through(proxy.port));
  await transport.declare(topology);
  await transport.send([message("first")]);
  proxy.swallow(["toClient"]);
  const sending = transport.send([message("once")]);
  await using other = await open(corner.factory());
  const ready = async (): Promise<number | undefined> =>
    (await other.inspection.addresses())[0]?.ready;
  await until("it is stored", async () => (await ready()) === 2);
  proxy.heal();
  await sending;
  assert.equal(await ready(), 2);
});

test("what is settled out of turn is known to who takes over a partition, and does not come again", async () => {
  await using corner = new Corner();
  await using first = await open(corner.factory({ partitions: 1 }));
  await first.declare(topology);
  await first.send(["a", "b", "c", "d"].map(message));
  const taken: Delivery[] = [];
  first.receive(orders, limits, taking(taken));
  await until("four", () => taken.length === 4);
  const [a, b, c] = taken;
  assert.equal(await b?.settle({ kind: "complete" }), "settled");
  assert.equal(await c?.settle({ kind: "release", delayMs: 0 }), "settled");
  await until("it is back", () => taken.length === 5);
  await first[Symbol.asyncDispose]();
  assert.equal(await a?.settle({ kind: "complete" }), "lockLost");
  await using second = await open(corner.factory());
  const again: Delivery[] = [];
  second.receive(orders, limits, taking(again));
  await until("the rest", () => again.length === 3);
  assert.deepEqual(
    again.map(({ envelope, attempt }) => [envelope.body, attempt]),
    [
      ["a", 2],
      ["c", 2],
      ["d", 2],
    ],
  );
});

test("a partition that moves waits for what is in hand, and its locks are lost when that takes too long", async () => {
  await using corner = new Corner();
  await using slow = await open(corner.factory({ partitions: 2, handoverMs: 1_500 }));
  await slow.declare(topology);
  for (const id of ["a", "b"]) await slow.send([message(id)]);
  const held: Delivery[] = [];
  const lost: Delivery[] = [];
  slow.receive(orders, limits, {
    deliver: (batch) => {
      for (const delivery of batch) {
        delivery.onLockLost = () => void lost.push(delivery);
        held.push(delivery);
      }
    },
    fault: ignore,
  });
  await until("both", () => held.length === 2);
  await using other = await open(corner.factory());
  const came: Delivery[] = [];
  other.receive(orders, limits, taking(came));
  await until("one of them moves", () => came.length === 1);
  assert.equal(lost.length, 1);
  assert.equal(lost[0]?.envelope.body, came[0]?.envelope.body);
  assert.equal(came[0]?.attempt, 2);
  assert.equal(await lost[0]?.settle({ kind: "complete" }), "lockLost");
  const kept = held.find((delivery) => delivery !== lost[0]);
  assert.equal(await kept?.settle({ kind: "complete" }), "settled");
});

test("a process with a name of its own has its partitions again after a restart, and the others keep theirs", async () => {
  await using corner = new Corner();
  const one = await open(corner.factory({ partitions: 2, member: "one" }));
  await using two = await open(corner.factory({ member: "two" }));
  await one.declare(topology);
  const [ones, twos]: [Delivery[], Delivery[]] = [[], []];
  one.receive(orders, limits, taking(ones));
  two.receive(orders, limits, taking(twos));
  for (let sent = 0; ones.length === 0 || twos.length === 0; sent++) {
    await one.send([message(String(sent))]);
    await until("it came", () => ones.length + twos.length > sent);
  }
  await one[Symbol.asyncDispose]();
  await using again = await open(corner.factory({ member: "one" }));
  const seen: Delivery[] = [];
  again.receive(orders, limits, taking(seen));
  await until("its own come back", () => seen.length === ones.length);
  assert.ok(seen.every(({ attempt }) => attempt === 2));
  for (const delivery of twos) assert.equal(await delivery.settle({ kind: "complete" }), "settled");
});

test("what is handled is deleted from the topic of its queue", async () => {
  await using corner = new Corner();
  await using transport = await open(corner.factory({ partitions: 1 }));
  await transport.declare(topology);
  transport.receive(orders, limits, {
    deliver: (batch) => batch.forEach((each) => void each.settle({ kind: "complete" })),
    fault: ignore,
  });
  await transport.send(["a", "b", "c"].map(message));
  const admin = new Admin({ clientId: "looking", bootstrapBrokers: [`127.0.0.1:${port}`] });
  const partitions = [{ partitionIndex: 0, timestamp: -2n }];
  const topics = [{ name: `${corner.prefix}.queue.orders`, partitions }];
  await until("it begins behind them", async () => {
    const [listed] = await admin.listOffsets({ topics });
    return listed?.partitions[0]?.offset === 3n;
  });
  await admin.close();
});
