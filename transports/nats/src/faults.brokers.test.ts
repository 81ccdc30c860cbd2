import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Delivery,
  type Outgoing,
  type Transport,
  type TransportFactory,
  systemEnvironment,
} from "@waybill/core";
import { TcpFaultProxy } from "@waybill/testkit";
import { Corner, port, until } from "./corner.test.support.ts";

const ignore = (): void => undefined;

function open(factory: TransportFactory): Promise<Transport> {
  return factory.open({
    environment: systemEnvironment,
    logger: { debug: ignore, info: ignore, warn: ignore, error: ignore },
    instance: "faults",
    unrouted: ignore,
  });
}

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
const limits = { prefetch: 20, prefetchBytes: 1_000_000, lockMs: 3_000 };

for (const fault of ["reset", "freeze"] as const)
  test(`after a ${fault} in the middle of sending and receiving everything arrives, and is stored once`, async () => {
    await using corner = new Corner();
    await using proxy = await TcpFaultProxy.listen({ port });
    const url = `nats://127.0.0.1:${proxy.port}`;
    await using transport = await open(corner.factory({ url, pingIntervalMs: 200 }));
    await transport.declare(topology);
    const count = 400;
    const seen = new Map<string, number>();
    const held: Delivery[] = [];
    transport.receive({ kind: "queue", name: "orders" }, limits, {
      deliver: (batch) => {
        for (const delivery of batch) {
          const { id } = delivery.envelope.header;
          seen.set(id, (seen.get(id) ?? 0) + 1);
          held.push(delivery);
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
    // Only who was held while the line was cut may come again, and then as another attempt.
    const first = held.filter(({ attempt }) => attempt === 1);
    assert.equal(first.length, count);
  });

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
