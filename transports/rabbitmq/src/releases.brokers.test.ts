import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Delivery,
  type Envelope,
  type QueueSpec,
  type ReceiveOptions,
  type Receiver,
  type Topology,
  type Transport,
  systemEnvironment,
} from "@waybill/core";
import { connect as amqp } from "amqplib";
import { Corner, until } from "./corner.test.support.ts";
import { url } from "./subject.test.support.ts";

const options: ReceiveOptions = { prefetch: 100, prefetchBytes: 10_000_000, lockMs: 10_000 };

function open(corner: Corner): Promise<Transport> {
  return corner.factory().open({
    environment: systemEnvironment,
    logger: corner.logger,
    instance: "test",
    unrouted: () => undefined,
  });
}

function numbered(name: string, from: number, to: number) {
  return Array.from({ length: to - from }, (_, index) => {
    const body = String(from + index);
    const header: Envelope["header"] = {
      specversion: "1.0",
      id: body,
      source: "/test",
      type: "test.done",
      time: "2030-01-01T00:00:00.000Z",
      datacontenttype: "text/plain",
      conversationid: "test",
    };
    return { to: { kind: "queue", name }, envelope: { header, body } } as const;
  });
}

interface Reading {
  readonly came: Delivery[];
  readonly receiver: Receiver;
}

function read(transport: Transport, name: string, more: Partial<ReceiveOptions> = {}): Reading {
  const came: Delivery[] = [];
  const receiver = transport.receive(
    { kind: "queue", name },
    { ...options, ...more },
    {
      deliver: (batch) => void came.push(...batch),
      fault: () => undefined,
    },
  );
  return { came, receiver };
}

async function queueIn(corner: Corner): Promise<readonly [Transport, string]> {
  const name = corner.name("work");
  const transport = await open(corner);
  await transport.declare(topologyOf({ name }));
  return [transport, name];
}

function topologyOf(queue: QueueSpec): Topology {
  return { queues: [queue], topics: [], subscriptions: [], streams: [] };
}

test("many processes give back untouched what they fetched, and its attempt is still the first", async () => {
  await using corner = new Corner();
  const [transport, name] = await queueIn(corner);
  await using _closed = transport;
  await transport.send(numbered(name, 0, 50));
  for (let deployment = 0; deployment < 6; deployment++) {
    await using leaving = await open(corner);
    const { came, receiver } = read(leaving, name);
    await until("50 deliveries", () => came.length === 50);
    await receiver.stop();
    for (const delivery of came) assert.equal(delivery.attempt, 1);
    await Promise.all(came.map((delivery) => delivery.settle({ kind: "release" })));
  }
  const { came } = read(transport, name);
  await until("50 deliveries", () => came.length === 50);
  assert.deepEqual(
    came.map(({ envelope, attempt }) => [envelope.body, attempt]),
    numbered(name, 0, 50).map(({ envelope }) => [envelope.body, 1]),
  );
});

test("between releases a death counts, and only that", async () => {
  await using corner = new Corner();
  const [transport, name] = await queueIn(corner);
  await using _closed = transport;
  await transport.send(numbered(name, 0, 1));
  const attempts: number[] = [];
  for (const dies of [false, true, false, false, true, false]) {
    await using leaving = await open(corner);
    const { came, receiver } = read(leaving, name);
    await until("a delivery", () => came.length === 1);
    const [delivery] = came;
    attempts.push(delivery?.attempt ?? 0);
    if (dies) continue;
    await receiver.stop();
    await delivery?.settle({ kind: "release" });
  }
  assert.deepEqual(attempts, [1, 1, 2, 2, 2, 3]);
});

test("what is replayed does not live on the releases of its former life", async () => {
  await using corner = new Corner();
  const [transport, name] = await queueIn(corner);
  await using _closed = transport;
  await transport.send(numbered(name, 0, 1));
  const { came } = read(transport, name);
  for (let times = 1; times <= 3; times++) {
    await until(`delivery ${times}`, () => came.length === times);
    await came.at(-1)?.settle({ kind: "release" });
  }
  await until("delivery 4", () => came.length === 4);
  const at = systemEnvironment.clock.now();
  const words = { reason: "HANDLER_FAILED", message: "no", service: "test", handler: "test" };
  const failure = { ...words, attempts: 1, firstFailedAt: at, lastFailedAt: at };
  const { handle = "" } = came.at(-1) ?? {};
  await came.at(-1)?.settle({ kind: "deadLetter", failure });
  await transport.inspection.replay([handle]);
  await until("the replay", () => came.length === 5);
  await transport[Symbol.asyncDispose]();
  await using next = await open(corner);
  const after = read(next, name);
  await until("the replay, after a death", () => after.came.length === 1);
  assert.equal(after.came[0]?.attempt, 2);
});

test("a message of another client without an id is told from others by its body", async () => {
  await using corner = new Corner();
  const [transport, name] = await queueIn(corner);
  await using _closed = transport;
  const connection = await amqp(url);
  const channel = await connection.createConfirmChannel();
  for (const body of ["one", "other"]) channel.sendToQueue(name, Buffer.from(body));
  await channel.waitForConfirms();
  await connection.close();
  const first = await open(corner);
  const { came, receiver } = read(first, name);
  await until("two deliveries", () => came.length === 2);
  await receiver.stop();
  await came[0]?.settle({ kind: "release" });
  await first[Symbol.asyncDispose]();
  const next = read(transport, name);
  await until("two deliveries", () => next.came.length === 2);
  const attempts = next.came.map(({ envelope, attempt }) => {
    const { body } = envelope;
    return `${typeof body === "string" ? body : new TextDecoder().decode(body)} ${attempt}`;
  });
  assert.deepEqual(attempts.toSorted(), ["one 1", "other 2"]);
});

test("who leaves a queue that keeps the order of keys hands over what it did not begin in its order, before what stands behind, uncounted", async () => {
  for (let round = 0; round < 5; round++) {
    await using corner = new Corner();
    const name = corner.name("keyed");
    await using leaving = await open(corner);
    await using staying = await open(corner);
    for (const each of [leaving, staying]) await each.declare(topologyOf({ name, sessions: true }));
    await leaving.send(numbered(name, 0, 40));
    // One byte: all but the first wait behind it.
    const first = read(leaving, name, { prefetch: 20, prefetchBytes: 1 });
    await until("a delivery", () => first.came.length === 1);
    const next = read(staying, name);
    // RabbitMQ does not count who stands by; after some questions on its connection it has long begun to.
    for (let asked = 0; asked < 5; asked++) await staying.inspection.addresses();
    await first.receiver.stop();
    assert.equal(await first.came[0]?.settle({ kind: "release" }), "settled");
    await until("all of them", () => next.came.length >= 40);
    assert.equal(first.came.length, 1);
    assert.deepEqual(
      next.came.map(({ envelope, attempt }) => [envelope.body, attempt]),
      numbered(name, 0, 40).map(({ envelope }) => [envelope.body, 1]),
    );
  }
});
