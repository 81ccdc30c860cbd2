import assert from "node:assert/strict";
import { test } from "node:test";
import type { Delivery, Outgoing } from "@waybill/core";
import { TcpFaultProxy } from "@waybill/testkit";
import { Corner, open, port, until } from "./corner.test.support.ts";

const ignore = (): void => undefined;

function message(id: string): Outgoing {
  return {
    to: { kind: "queue", name: "orders" },
    envelope: {
      header: {
        specversion: "1.0",
        id,
        source: "/test",
        type: "orders.place",
        time: new Date(0).toISOString(),
        datacontenttype: "text/plain",
        conversationid: id,
      },
      body: id,
    },
  };
}

const topology = { queues: [{ name: "orders" }], topics: [], subscriptions: [], streams: [] };
const limits = { prefetch: 20, prefetchBytes: 1_000_000, lockMs: 5_000 };

for (const fault of ["reset", "freeze"] as const)
  test(`after a ${fault} in the middle of sending and receiving everything arrives, is stored once, and comes again as another attempt`, async () => {
    await using corner = new Corner();
    await using proxy = await TcpFaultProxy.listen({ port });
    const url = `nats://127.0.0.1:${proxy.port}`;
    await using transport = await open(corner.factory({ url, pingIntervalMs: 1_000 }));
    await transport.declare(topology);
    const count = 400;
    const seen = new Set<string>();
    const came: Delivery[] = [];
    transport.receive({ kind: "queue", name: "orders" }, limits, {
      deliver: (batch) => {
        for (const delivery of batch) {
          seen.add(delivery.envelope.header.id);
          came.push(delivery);
          void delivery.settle({ kind: "complete" });
        }
      },
      fault: ignore,
    });
    const sending: Promise<void>[] = [];
    for (let index = 0; index < count; index++) {
      sending.push(transport.send([message(String(index))]));
      if (index === count / 2) {
        proxy[fault]();
        setTimeout(() => proxy.heal(), 1_000);
      }
    }
    await Promise.all(sending);
    await until("all arrived", () => seen.size === count);
    await until("nothing is left", async () => {
      const [state] = await transport.inspection.addresses();
      return state?.ready === 0;
    });
    const runs = came.map(({ envelope, attempt }) => `${envelope.header.id} ${attempt}`);
    assert.deepEqual(
      runs.filter((run, index) => runs.indexOf(run) !== index),
      [],
    );
  });

test("what was stored, and its confirmation lost, is sent again and not stored again", async () => {
  await using corner = new Corner();
  await using proxy = await TcpFaultProxy.listen({ port });
  const url = `nats://127.0.0.1:${proxy.port}`;
  await using transport = await open(corner.factory({ url }));
  await transport.declare(topology);
  proxy.swallow(["toClient"]);
  const sending = transport.send([message("once")]);
  await using other = await open(corner.factory());
  const ready = async (): Promise<number | undefined> =>
    (await other.inspection.addresses())[0]?.ready;
  await until("it is stored", async () => (await ready()) === 1);
  proxy.heal();
  await sending;
  assert.equal(await ready(), 1);
});

test("a dead letter of one subscription goes back to that one, and to no other", async () => {
  await using corner = new Corner();
  await using transport = await open(corner.factory());
  const accepts = [{ type: "orders.place" }];
  const [billing, shipping] = ["billing", "shipping"] as const;
  const subscriptions = [billing, shipping].map((name) => ({ topic: "orders", name, accepts }));
  await transport.declare({ ...topology, queues: [], topics: [{ name: "orders" }], subscriptions });
  const came: string[] = [];
  for (const name of [billing, shipping])
    transport.receive({ kind: "subscription", topic: "orders", name }, limits, {
      deliver: (batch) => {
        for (const delivery of batch) {
          const isFirst = name === billing && !came.includes(billing);
          came.push(name);
          void delivery.settle(isFirst ? { kind: "deadLetter", failure } : { kind: "complete" });
        }
      },
      fault: ignore,
    });
  await transport.send([{ ...message("1"), to: { kind: "topic", name: "orders" } }]);
  const dead = { state: "dead", address: "orders/billing", limit: 5 } as const;
  await until("a dead letter", async () => (await transport.inspection.list(dead)).length === 1);
  const [letter] = await transport.inspection.list(dead);
  assert.equal(await transport.inspection.replay([letter?.handle ?? ""]), 1);
  await until("it is back", () => came.filter((name) => name === billing).length === 2);
  await transport.inspection.addresses();
  assert.equal(came.filter((name) => name === shipping).length, 1);
});

const failure = {
  reason: "HANDLER_FAILED",
  message: "planned",
  service: "test",
  handler: "test",
  attempts: 1,
  firstFailedAt: 0,
  lastFailedAt: 0,
};

test("a server that cannot be reached is told with what to do, and no password", async () => {
  await using proxy = await TcpFaultProxy.listen({ port });
  proxy.freeze();
  await using corner = new Corner();
  const url = `nats://user:secret@127.0.0.1:${proxy.port}`;
  await assert.rejects(open(corner.factory({ url, connectTimeoutMs: 300 })), (error: Error) => {
    assert.equal((error as { code?: string }).code, "TRANSPORT_FAILED");
    assert.ok(!error.message.includes("secret"));
    return true;
  });
});
