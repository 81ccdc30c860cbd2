import assert from "node:assert/strict";
import { test } from "node:test";
import type { Delivery, Outgoing, Receiver, Transport } from "@waybill/core";
import { connect as connectPlain } from "@nats-io/transport-node";
import { Corner, open, port, until } from "./corner.test.support.ts";

const source = { kind: "queue", name: "orders" } as const;
const topology = { queues: [{ name: "orders" }], topics: [], subscriptions: [], streams: [] };
const limits = { prefetch: 4, prefetchBytes: 1_000_000, lockMs: 30_000 };

function message(id: string): Outgoing {
  const header = {
    specversion: "1.0",
    id,
    source: "/test",
    type: "orders.place",
    time: new Date(0).toISOString(),
    datacontenttype: "text/plain",
    conversationid: id,
  } as const;
  return { to: source, envelope: { header, body: id } };
}

interface Received {
  readonly receiver: Receiver;
  readonly came: Delivery[];
}

function receive(transport: Transport): Received {
  const came: Delivery[] = [];
  const receiver = transport.receive(source, limits, {
    deliver: (batch) => void came.push(...batch),
    fault: () => undefined,
  });
  return { receiver, came };
}

const ids = (came: readonly Delivery[]): readonly string[] =>
  came.map(({ envelope }) => envelope.header.id);

test("what is given back comes again at once and in its order, though the server holds requests of who listens no more", async () => {
  await using corner = new Corner();
  await using transport = await open(corner.factory());
  await transport.declare(topology);
  await transport.send(["0", "1", "2"].map(message));
  const { receiver, came } = receive(transport);
  await until("three", () => came.length === 3);
  receiver.pause();
  // As a request of its own that the server reads late, or one of a process that has died.
  await using plain = await connectPlain({ servers: `127.0.0.1:${port}` });
  const asked = JSON.stringify({ batch: 4, expires: 60e9 });
  const place = `${corner.prefix}_queue_orders.receivers`;
  plain.publish(`$JS.API.CONSUMER.MSG.NEXT.${place}`, asked, { reply: "nobody.listens" });
  await plain.flush();
  const [first, held, last] = came;
  for (const each of [first, last])
    assert.equal(await each?.settle({ kind: "release" }), "settled");
  receiver.resume();
  await until("both again", () => came.length >= 5);
  assert.deepEqual(ids(came), ["0", "1", "2", "0", "2"]);
  assert.ok(came.every(({ attempt }) => attempt === 1));
  assert.equal(await held?.settle({ kind: "complete" }), "settled");
});

test("a receiver that is paused and resumed before it has opened receives", async () => {
  await using corner = new Corner();
  await using transport = await open(corner.factory());
  await transport.declare(topology);
  const { receiver, came } = receive(transport);
  receiver.pause();
  receiver.resume();
  for (const [index, id] of ["0", "1", "2"].entries()) {
    await transport.send([message(id)]);
    await until(`${id} came`, () => came.length === index + 1);
  }
});
