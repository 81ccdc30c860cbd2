import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, stream } from "@waybill/contracts";
import {
  type Delivery,
  type Outgoing,
  type ReceiveOptions,
  type Receiver,
  type Transport,
  connect,
  service,
  systemEnvironment,
} from "@waybill/core";
import { TcpFaultProxy } from "@waybill/testkit";
import { connect as amqp } from "amqplib";
import { Corner, until } from "../corner.test.support.ts";
import { Link } from "../link.ts";
import { settingsOf } from "../options.ts";
import { Publisher } from "../publisher.ts";
import { port, url } from "../subject.test.support.ts";
import { GroupLog } from "./group-log.ts";

interface Reading {
  readonly device: string;
  readonly number: number;
}

const Reading: Schema<Reading> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => ({ value: value as Reading }),
  },
};

const options: ReceiveOptions = { prefetch: 10, prefetchBytes: 10_000_000, lockMs: 10_000 };

function open(corner: Corner): Promise<Transport> {
  return corner.factory().open({
    environment: systemEnvironment,
    logger: corner.logger,
    instance: "test",
    unrouted: () => undefined,
  });
}

async function streamIn(corner: Corner, items: number): Promise<readonly [Transport, string]> {
  const name = corner.name("stream");
  const transport = await open(corner);
  const streams = [{ name, partitions: 1, retention: {} }];
  await transport.declare({ queues: [], topics: [], subscriptions: [], streams });
  await transport.send(
    Array.from({ length: items }, (_, index) => itemOf(name, String(index), String(index))),
  );
  return [transport, name];
}

function itemOf(name: string, id: string, body: string): Outgoing {
  const header = {
    specversion: "1.0",
    id,
    source: "/test",
    type: "test.read",
    time: "2030-01-01T00:00:00.000Z",
    datacontenttype: "text/plain",
    conversationid: "test",
    partitionkey: "key",
  } as const;
  return { to: { kind: "stream", name }, envelope: { header, body } };
}

function read(
  transport: Transport,
  name: string,
): { readonly came: Delivery[]; readonly receiver: Receiver } {
  const came: Delivery[] = [];
  const receiver = transport.receive({ kind: "stream", name, group: "readers" }, options, {
    deliver: (batch) => void came.push(...batch),
    fault: () => undefined,
  });
  return { came, receiver };
}

test("an item that ends each process that gets it has its deaths counted; who leaves in good order counts nothing", async () => {
  await using corner = new Corner();
  const [transport, name] = await streamIn(corner, 3);
  await using _closed = transport;
  const attempts: number[] = [];
  for (const dies of [true, true, false, false, true, false]) {
    await using leaving = await open(corner);
    const { came, receiver } = read(leaving, name);
    await until("three deliveries", () => came.length === 3);
    attempts.push(came[0]?.attempt ?? 0);
    if (dies) continue;
    await receiver.stop();
    for (const delivery of came)
      assert.equal(await delivery.settle({ kind: "release" }), "settled");
  }
  assert.deepEqual(attempts, [1, 2, 3, 3, 3, 4]);
});

for (const { what, bytes } of [
  { what: "that stands where RabbitMQ begins a segment", bytes: 512 * 1024 },
  { what: "before which retention removed all", bytes: 64 * 1024 },
])
  test(`an item ${what} has its deaths counted, too`, async () => {
    await using corner = new Corner();
    const name = corner.name("stream");
    await using transport = await open(corner);
    const streams = [{ name, partitions: 1, retention: { bytes } }];
    await transport.declare({ queues: [], topics: [], subscriptions: [], streams });
    const body = "x".repeat(1_000);
    for (let id = 0; id < 150; id++) await transport.send([itemOf(name, String(id), body)]);
    const { came } = read(transport, name);
    let border: Delivery | undefined;
    for (let index = 0; border === undefined; index++) {
      await until(`item ${index}`, () => came.length > index);
      const [before, item] = [came[index - 1], came[index]];
      const isBorder = item?.position?.offset !== (before?.position?.offset ?? -1) + 1;
      if (isBorder) border = item;
      else assert.equal(await item?.settle({ kind: "complete" }), "settled");
    }
    await until("its place to be written down", async () => {
      const [group] = await transport.inspection.groups(name);
      return group?.partitions[0]?.committed === border.position?.offset;
    });
    await transport[Symbol.asyncDispose]();
    const attempts: number[] = [];
    for (let death = 0; death < 3; death++) {
      await using next = await open(corner);
      const after = read(next, name);
      await until("the item", () => after.came.length > 0);
      assert.deepEqual(after.came[0]?.position, border.position);
      attempts.push(after.came[0]?.attempt ?? 0);
    }
    // Where nothing was known of its place, the first death may come before it is.
    const [first = 0] = attempts;
    assert.ok(first === 2 || (first === 1 && bytes === 64 * 1024), `began with ${first}`);
    assert.deepEqual(attempts, [first, first + 1, first + 2]);
  });

test("a group's log forgets its oldest entries, and who begins to read it comes to the same sum", async () => {
  await using corner = new Corner();
  const queue = corner.name("log");
  await using end = new AsyncDisposableStack();
  const connection = await amqp(url);
  end.defer(() => connection.close());
  const channel = await connection.createChannel();
  end.defer(async () => void (await channel.deleteQueue(queue)));
  await channel.assertQueue(queue, {
    durable: true,
    arguments: {
      "x-queue-type": "stream",
      "x-max-length-bytes": 4_000_000,
      "x-stream-max-segment-size-bytes": 500_000,
    },
  });
  const environment = systemEnvironment;
  const link = new Link({
    settings: settingsOf({ url }),
    environment,
    logger: corner.logger,
    name: "t",
  });
  await link.open();
  end.use(link);
  const publisher = new Publisher({
    link,
    settings: settingsOf({ url }),
    environment,
    fault: (error) => corner.logger.warn(error.message),
    exists: () => Promise.resolve(true),
  });
  publisher.start();
  end.defer(() => publisher.close());
  const send = async (parcel: Parameters<Publisher["send"]>[0][number]): Promise<void> =>
    void (await publisher.send([parcel]));
  const parts = { queue, link, environment, send, fault: () => undefined };
  const writer = new GroupLog(parts);
  end.defer(() => writer.close());
  const group = "readers";
  await writer.append({ kind: "begin", group, committed: [0] });
  await writer.append({ kind: "join", group, member: "one" });
  await writer.append({ kind: "claim", group, member: "one", partition: 0 });
  // Far more at a time than a member writes down: the log forgets the sooner.
  const padding = Array.from({ length: 200 }, (_, index) => [1, 1, index] as const);
  for (let round = 1; round <= 30; round++)
    await Promise.all(
      Array.from({ length: 100 }, (_, index) =>
        writer.append({ kind: "done", group, done: [[0, 1, round * 100 + index], ...padding] }),
      ),
    );
  await until("the beginning to be gone", async () => {
    const first = Promise.withResolvers<number>();
    const looking = await connection.createChannel();
    await looking.prefetch(1);
    const args = { "x-stream-offset": "first" };
    await looking.consume(
      queue,
      (message) => first.resolve(Number(message?.properties.headers?.["x-stream-offset"])),
      { arguments: args },
    );
    const offset = await first.promise;
    await looking.close();
    return offset > 0;
  });
  const late = new GroupLog(parts);
  end.defer(() => late.close());
  await late.sync();
  assert.deepEqual(
    JSON.parse(JSON.stringify(late.groups)),
    JSON.parse(JSON.stringify(writer.groups)),
  );
  assert.equal(late.groups.get(group)?.places[0]?.committed, 3_099);
});

test("over a line that is reset again and again every item is handled, those of a key in their order", async () => {
  await using corner = new Corner();
  await using proxy = await TcpFaultProxy.listen({ port });
  const Readings = stream(corner.name("readings"), {
    item: Reading,
    key: ({ device }) => device,
    partitions: 4,
  });
  const handled = new Map<string, number[]>();
  const consuming = () =>
    service("telemetry").consume(Readings, ({ device, number }) => {
      const known = handled.get(device) ?? [];
      handled.set(device, known);
      if (!known.includes(number)) known.push(number);
    });
  const factory = corner.factory({ url: `amqp://127.0.0.1:${proxy.port}` });
  const { logger } = corner;
  await using _one = await connect({ transport: factory, services: [consuming()], logger });
  await using _other = await connect({ transport: factory, services: [consuming()], logger });
  const feeding = service("feeding", { appends: [Readings] });
  await using bus = await connect({ ...corner.options, services: [feeding] });
  for (let number = 0; number < 100; number++) {
    for (const device of ["a", "b", "c", "d", "e"]) await bus.append(Readings, { device, number });
    if (number % 20 === 10) proxy.reset();
  }
  await until("all of them", () => [...handled.values()].flat().length === 500);
  const expected = Array.from({ length: 100 }, (_, number) => number);
  for (const numbers of handled.values()) assert.deepEqual(numbers, expected);
});
