import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Delivery,
  type LogFields,
  type MemoryBroker,
  type MemoryOptions,
  type Source,
  type Transport,
  memory,
} from "@waybill/core";
import { type FakeEnvironment, fakeEnvironment } from "./environment.ts";
import { numbers, toQueue, toStream, toTopic, topology } from "./suite/messages.ts";
import { bodyText, complete } from "./suite/probe.ts";

/** What only the in-memory broker promises; the rest is in the suite. */

interface Setting {
  readonly broker: MemoryBroker;
  readonly environment: FakeEnvironment;
  readonly warnings: readonly [string, LogFields | undefined][];
  readonly open: (instance: string) => Promise<Transport>;
}

function set(options: MemoryOptions = {}): Setting {
  const environment = fakeEnvironment();
  const broker = memory(options);
  const warnings: [string, LogFields | undefined][] = [];
  const logger = {
    debug: () => {},
    info: () => {},
    warn: (message: string, fields?: LogFields) => void warnings.push([message, fields]),
    error: (message: string) => assert.ifError(message),
  };
  const open = (instance: string): Promise<Transport> =>
    broker.open({ environment, logger, instance, unrouted: () => {} });
  return { broker, environment, warnings, open };
}

function receive(transport: Transport, source: Source, settles = true): Delivery[] {
  const came: Delivery[] = [];
  transport.receive(
    source,
    { prefetch: 10, prefetchBytes: 1e6, lockMs: 3_000 },
    {
      deliver: (batch) => {
        came.push(...batch);
        if (settles) for (const delivery of batch) void delivery.settle(complete);
      },
      fault: assert.ifError,
    },
  );
  return came;
}

const queue: Source = { kind: "queue", name: "queue" };

test("a full broker refuses with STORAGE_FULL, stores nothing of the batch, and takes more when there is room", async () => {
  const { open, environment } = set({ bytesMax: 10_000 });
  const transport = await open("one");
  await transport.declare(topology({ queues: [{ name: "queue" }] }));
  const batch = numbers(5).map((body) => toQueue("queue", body.padEnd(1_000)));
  await transport.send(batch);
  await assert.rejects(transport.send(batch), { code: "STORAGE_FULL", retryable: true });
  const came = receive(transport, queue);
  await environment.drain();
  assert.equal(came.length, 5);
  await transport.send(batch);
});

test("a settlement may use the room that its own message leaves", async () => {
  const { open, environment } = set({ bytesMax: 2_000 });
  const transport = await open("one");
  await transport.declare(topology({ queues: [{ name: "queue" }] }));
  await transport.send([toQueue("queue", "x".repeat(900))]);
  const [delivery] = await (async () => {
    const came = receive(transport, queue, false);
    await environment.drain();
    return came;
  })();
  const next = toQueue("queue", "y".repeat(900));
  await assert.rejects(transport.send([next]), { code: "STORAGE_FULL" });
  assert.equal(await delivery?.settle({ kind: "complete", send: [next] }), "settled");
});

test("room comes back whole: after everything is settled, discarded and dropped the broker is empty", async () => {
  const bytesMax = 5_000;
  const { open, environment } = set({ bytesMax });
  const transport = await open("one");
  const temporary = await open("two");
  await transport.declare(topology({ queues: [{ name: "queue" }], topics: [{ name: "topic" }] }));
  await temporary.declare(topology({ queues: [{ name: "reply", temporary: true }] }));
  for (let round = 0; round < 20; round++) {
    await transport.send([
      toQueue("queue", "a".repeat(100)),
      toQueue("queue", "b", { notAfter: environment.clock.now() + 5 }),
    ]);
    await transport.send([toTopic("topic", "nobody")]);
    await environment.advance(10);
    const dead = await transport.inspection.list({ state: "dead", limit: 100 });
    await transport.inspection.discard(dead.map(({ handle }) => handle));
    const came = receive(transport, queue);
    await environment.drain();
    assert.equal(came.length, round === 0 ? 1 : came.length);
  }
  await transport.send([toQueue("reply", "x".repeat(4_000))]);
  await temporary[Symbol.asyncDispose]();
  await transport.send([toQueue("queue", "y".repeat(4_000))]);
});

test("unrouted events are kept up to the bound, the oldest leave, and the log says so", async () => {
  const { open, warnings } = set({ unroutedMax: 3 });
  const transport = await open("one");
  await transport.declare(topology({ topics: [{ name: "topic" }] }));
  await transport.send(numbers(5).map((body) => toTopic("topic", body)));
  const dead = await transport.inspection.list({ state: "dead", address: "topic/", limit: 10 });
  assert.deepEqual(dead.map(bodyText), ["2", "3", "4"]);
  const [book] = await transport.inspection.ledger();
  assert.deepEqual([book?.accepted, book?.left, book?.balanced], [5, { evicted: 2 }, true]);
  assert.equal(warnings.length, 1);
  assert.match(warnings[0]?.[0] ?? "", /topic "topic".*nobody subscribes/);
});

test("a stream lets go what is older than its age or beyond its bytes, and a slow group goes on behind the gap", async () => {
  const { open, environment } = set();
  const transport = await open("one");
  await transport.declare(
    topology({
      streams: [
        { name: "aged", partitions: 1, retention: { ageMs: 1_000 } },
        { name: "sized", partitions: 1, retention: { bytes: 30 } },
      ],
    }),
  );
  await transport.send([toStream("aged", "old", "a")]);
  await environment.advance(2_000);
  await transport.send([toStream("aged", "new", "a")]);
  await transport.send(numbers(10).map((body) => toStream("sized", body.padEnd(10), "a")));
  const aged = receive(transport, { kind: "stream", name: "aged", group: "slow" });
  const sized = receive(transport, { kind: "stream", name: "sized", group: "slow" });
  await environment.drain();
  assert.deepEqual(aged.map(bodyText), ["new"]);
  assert.deepEqual(
    sized.map((delivery) => delivery.position?.offset),
    [7, 8, 9],
  );
  const books = await transport.inspection.ledger();
  assert.deepEqual(
    books.map(({ address, accepted, left, balanced }) => [address, accepted, left, balanced]),
    [
      ["aged@slow", 1, {}, true],
      ["sized@slow", 3, {}, true],
      ["aged", 2, { retention: 1 }, true],
      ["sized", 10, { retention: 7 }, true],
    ],
  );
});

test("a group whose items were removed while in flight goes on without them", async () => {
  const { open, environment } = set();
  const transport = await open("one");
  await transport.declare(
    topology({ streams: [{ name: "s", partitions: 1, retention: { bytes: 20 } }] }),
  );
  const source: Source = { kind: "stream", name: "s", group: "g" };
  const held = receive(transport, source, false);
  await transport.send([toStream("s", "0".padEnd(10), "a"), toStream("s", "1".padEnd(10), "a")]);
  await environment.drain();
  await transport.send(numbers(4).map((body) => toStream("s", body.padEnd(10), "a")));
  await environment.drain();
  for (const delivery of held) assert.equal(await delivery.settle(complete), "settled");
  const [state] = await transport.inspection.addresses();
  assert.equal(state?.inFlight, 0);
  assert.equal(state?.ready, 0);
  const [book] = await transport.inspection.ledger();
  assert.deepEqual(
    [book?.accepted, book?.completed, book?.left, book?.balanced],
    [6, 2, { skipped: 4 }, true],
  );
});

test("quiet() is true exactly when nothing is on its way, and onQuiet tells the moment", async () => {
  const { broker, open, environment } = set();
  assert.equal(broker.quiet(), true);
  const transport = await open("one");
  await transport.declare(topology({ queues: [{ name: "queue" }] }));
  let told = 0;
  const end = broker.onQuiet(() => void (told += 1));
  await transport.send([toQueue("queue", "waits for a receiver")]);
  assert.equal(broker.quiet(), true, "nobody could take it");
  const came = receive(transport, queue, false);
  assert.equal(broker.quiet(), false, "a turn is coming");
  await environment.drain();
  assert.equal(broker.quiet(), false, "it is delivered and not settled");
  await came[0]?.settle({ kind: "defer" });
  assert.equal(broker.quiet(), true);
  assert.equal(told, 1);
  end();
  await transport.send([
    toQueue("queue", "scheduled", { notBefore: environment.clock.now() + 500 }),
  ]);
  assert.equal(broker.quiet(), true, "only time can move it");
  await environment.advance(500);
  assert.equal(broker.quiet(), false);
  await came[1]?.settle(complete);
  assert.equal(broker.quiet(), true);
  assert.equal(told, 1);
});

test("a crashed instance gives nothing back: its locks run out, its temporary queue is gone, it hears nothing", async () => {
  const { broker, open, environment } = set();
  const [dying, living] = [await open("dying"), await open("living")];
  await living.declare(topology({ queues: [{ name: "queue" }] }));
  await dying.declare(topology({ queues: [{ name: "reply", temporary: true }] }));
  await living.send([toQueue("queue", "orphan")]);
  const held = receive(dying, queue, false);
  await environment.drain();
  let lost = false;
  if (held[0] !== undefined) held[0].onLockLost = () => void (lost = true);
  broker.crash("dying");
  assert.equal(broker.quiet(), true);
  const came = receive(living, queue);
  await environment.advance(2_900);
  assert.equal(came.length, 0, "the lock holds");
  await environment.advance(1_200);
  assert.deepEqual(
    came.map((delivery) => [bodyText(delivery), delivery.attempt]),
    [["orphan", 2]],
  );
  assert.equal(await held[0]?.settle(complete), "lockLost");
  assert.equal(lost, false);
  await assert.rejects(dying.send([toQueue("queue", "late")]), { code: "CLOSED" });
  await assert.rejects(living.send([toQueue("reply", "late")]), { code: "UNROUTABLE" });
});

test("a wall clock that is set forward delivers what is due then, and ends no lock", async () => {
  const { open, environment } = set();
  const transport = await open("one");
  await transport.declare(topology({ queues: [{ name: "queue" }] }));
  await transport.send([
    toQueue("queue", "now"),
    toQueue("queue", "tomorrow", { notBefore: environment.clock.now() + 86_400_000 }),
  ]);
  const came = receive(transport, queue, false);
  await environment.drain();
  environment.jump(86_400_000);
  await environment.advance(60_000);
  assert.deepEqual(came.map(bodyText), ["now", "tomorrow"]);
  assert.equal(await came[0]?.settle(complete), "settled");
});

test("a busy queue does not keep what expired in it", async () => {
  const { open, environment } = set();
  const transport = await open("one");
  await transport.declare(topology({ queues: [{ name: "queue" }] }));
  const notAfter = environment.clock.now() + 1_000;
  await transport.send(
    numbers(5_000).map((body) => toQueue("queue", body, { notAfter, discardExpired: true })),
  );
  await transport.send([toQueue("queue", "stays")]);
  await environment.advance(1_000);
  const [state] = await transport.inspection.addresses();
  assert.deepEqual([state?.ready, state?.dead, state?.scheduled], [1, 0, 0]);
  const came = receive(transport, queue);
  await environment.drain();
  assert.deepEqual(came.map(bodyText), ["stays"]);
});

test("settling a stream's item with retry or defer is refused, and the item can be settled otherwise", async () => {
  const { open, environment } = set();
  const transport = await open("one");
  await transport.declare(topology({ streams: [{ name: "s", partitions: 1, retention: {} }] }));
  const came = receive(transport, { kind: "stream", name: "s", group: "g" }, false);
  await transport.send([toStream("s", "item", "a")]);
  await environment.drain();
  await assert.rejects(came[0]?.settle({ kind: "defer" }) ?? Promise.resolve(), {
    code: "NOT_SUPPORTED",
  });
  assert.equal(await came[0]?.settle(complete), "settled");
});

test("options that cannot be are refused with their name", () => {
  assert.throws(() => memory({ bytesMax: 0 }), { code: "OPTION_INVALID", message: /bytesMax/ });
  assert.throws(() => memory({ bodyBytesMax: 1.5 }), {
    code: "OPTION_INVALID",
    message: /bodyBytesMax/,
  });
});
