import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { test } from "node:test";
import type { Delivery, Outgoing, ReceiveOptions, Transport } from "@waybill/core";
import { TcpFaultProxy } from "@waybill/testkit";
import { connect as connectPlain } from "@nats-io/transport-node";
import { Corner, open, port, until } from "../corner.test.support.ts";

const name = "readings";
const group = { kind: "stream", name, group: "readers" } as const;
const limits: ReceiveOptions = { prefetch: 20, prefetchBytes: 1_000_000, lockMs: 5_000 };

function item(id: string, key: string, body: string | Uint8Array = id): Outgoing {
  return {
    to: { kind: "stream", name },
    envelope: {
      header: {
        specversion: "1.0",
        id,
        source: "/test",
        type: "readings",
        time: new Date(0).toISOString(),
        datacontenttype: "text/plain",
        conversationid: id,
        partitionkey: key,
      },
      body,
    },
  };
}

async function declared(
  corner: Corner,
  partitions: number,
  retention: { readonly ageMs?: number; readonly bytes?: number } = {},
): Promise<Transport> {
  const transport = await open(corner.factory());
  const streams = [{ name, partitions, retention }];
  await transport.declare({ queues: [], topics: [], subscriptions: [], streams });
  return transport;
}

interface Reader {
  readonly deliveries: Delivery[];
  readonly lost: Set<Delivery>;
}

function read(
  transport: Transport,
  onDelivery: (delivery: Delivery) => void,
  options: Partial<ReceiveOptions> = {},
): Reader {
  const reader: Reader = { deliveries: [], lost: new Set() };
  transport.receive(
    group,
    { ...limits, ...options },
    {
      deliver: (batch) => {
        for (const delivery of batch) {
          delivery.onLockLost = () => void reader.lost.add(delivery);
          reader.deliveries.push(delivery);
          onDelivery(delivery);
        }
      },
      fault: () => undefined,
    },
  );
  return reader;
}

const complete = (delivery: Delivery): void => void delivery.settle({ kind: "complete" });
const idOf = ({ envelope }: Delivery): string => envelope.header.id;

test("retention by age and by bytes removes the oldest, and a group goes on behind them", async () => {
  await using corner = new Corner();
  await using transport = await declared(corner, 1, { bytes: 4_000 });
  const body = "x".repeat(400);
  for (let index = 0; index < 30; index++) await transport.send([item(String(index), "a", body)]);
  const reader = read(transport, complete);
  await until("the last", () => reader.deliveries.some((each) => idOf(each) === "29"));
  const first = reader.deliveries[0]?.position?.offset ?? 0;
  assert.ok(first > 10, `begins at ${first}`);
  assert.deepEqual(
    reader.deliveries.map(idOf),
    Array.from({ length: 30 - first }, (_, index) => String(first + index)),
  );
  const streams = [{ name, partitions: 1, retention: { ageMs: 200 } }];
  await transport.declare({ queues: [], topics: [], subscriptions: [], streams });
  await until("all are too old", async () => {
    const [state] = await transport.inspection.groups(name);
    const [progress] = state?.partitions ?? [];
    return progress?.oldest === 30 && progress.committed === 30;
  });
  await transport.send([item("new", "a")]);
  await until("a new one", () => reader.deliveries.some((each) => idOf(each) === "new"));
});

test("an item that is larger than what may wait here comes, and so do those around it", async () => {
  await using corner = new Corner();
  await using transport = await declared(corner, 1);
  const sizes = [10, 50_000, 10, 60_000, 70_000, 10];
  await transport.send(sizes.map((size, index) => item(String(index), "a", new Uint8Array(size))));
  const held: Delivery[] = [];
  const reader = read(transport, (delivery) => void held.push(delivery), { prefetchBytes: 1_000 });
  for (let count = 1; count <= sizes.length; count++) {
    await until(`item ${count}`, () => held.length > 0);
    for (const delivery of held.splice(0)) complete(delivery);
  }
  await until("all", () => reader.deliveries.length === sizes.length);
  assert.deepEqual(reader.deliveries.map(idOf), ["0", "1", "2", "3", "4", "5"]);
});

test("members that are cut off lose what they hold to the others; nothing is lost, and the order of each key holds", async () => {
  await using corner = new Corner();
  await using transport = await declared(corner, 6);
  await using proxy = await TcpFaultProxy.listen({ port });
  const url = `nats://127.0.0.1:${proxy.port}`;
  await using cut = await open(
    corner.factory({ url, pingIntervalMs: 1_000, connectTimeoutMs: 2_000 }),
  );
  await using other = await open(corner.factory());
  const completed = new Map<string, string[]>();
  const attempts = new Map<string, number[]>();
  const held: Delivery[] = [];
  let holds = false;
  const finish = async (delivery: Delivery): Promise<void> => {
    const { id, partitionkey = "" } = delivery.envelope.header;
    if ((await delivery.settle({ kind: "complete" })) !== "settled") return;
    completed.set(partitionkey, [...(completed.get(partitionkey) ?? []), id]);
  };
  const work = (delivery: Delivery, settles = true): void => {
    const { id } = delivery.envelope.header;
    attempts.set(id, [...(attempts.get(id) ?? []), delivery.attempt]);
    if (!settles) return;
    setTimeout(() => void finish(delivery), 2);
  };
  const slow = read(cut, (delivery) => {
    if (holds) held.push(delivery);
    work(delivery, !holds);
  });
  read(other, (delivery) => work(delivery));
  const keys = Array.from({ length: 12 }, (_, index) => `key-${index}`);
  const count = 600;
  for (let index = 0; index < count; index++) {
    await transport.send([item(String(index), keys[index % keys.length] ?? "")]);
    if (index % 50 === 0) await pause(20);
    if (index !== count / 3) continue;
    holds = true;
    let more = 0;
    await until("it holds something", async () => {
      more += 1;
      await transport.send(keys.map((key) => item(`more-${key}-${more}`, `more-${key}`)));
      return held.length > 0;
    });
    proxy.freeze();
  }
  await until("all came", () => attempts.size >= count);
  await until("the group is at the end", async () => {
    const [state] = await transport.inspection.groups(name);
    return state?.partitions.every(({ lag }) => lag === 0) === true;
  });
  for (const key of keys) {
    const ids = completed.get(key) ?? [];
    const order = ids.map(Number);
    assert.deepEqual(
      order,
      order.toSorted((one, another) => one - another),
      key,
    );
  }
  await until("who was cut off is told", () => held.every((delivery) => slow.lost.has(delivery)));
  assert.equal(await held[0]?.settle({ kind: "complete" }), "lockLost");
  // A machine that stands still for longer than a lock makes more of them.
  for (const id of new Set(held.map(idOf))) assert.deepEqual(attempts.get(id)?.slice(0, 2), [1, 2]);
  proxy.heal();
  const before = slow.deliveries.length;
  await until("it takes part again", async () => {
    await transport.send(keys.map((key) => item(`late-${key}`, key)));
    return slow.deliveries.length > before;
  });
});

test("a reset in the middle of reading loses nothing and repeats only what was held", async () => {
  await using corner = new Corner();
  await using transport = await declared(corner, 2);
  await using proxy = await TcpFaultProxy.listen({ port });
  const url = `nats://127.0.0.1:${proxy.port}`;
  await using reading = await open(corner.factory({ url }));
  const reader = read(reading, complete, { lockMs: 10_000 });
  const count = 400;
  for (let index = 0; index < count; index++) {
    await transport.send([item(String(index), `key-${index % 7}`)]);
    if (index % 100 === 50) proxy.reset();
  }
  await until("all", () => new Set(reader.deliveries.map(idOf)).size === count);
  const again = reader.deliveries.filter(({ attempt }) => attempt > 1);
  const first = reader.deliveries.filter(({ attempt }) => attempt === 1);
  assert.equal(new Set(first.map(idOf)).size, first.length, `${again.length} came again`);
});

test("a client without Waybill appends to a partition by its subject", async () => {
  await using corner = new Corner();
  await using transport = await declared(corner, 2);
  const reader = read(transport, complete);
  await using plain = await connectPlain({ servers: `127.0.0.1:${port}` });
  await plain.request(`${corner.prefix}.stream.${name}.1`, JSON.stringify({ celsius: 21 }));
  await until("it comes", () => reader.deliveries.length === 1);
  const [delivery] = reader.deliveries;
  assert.deepEqual(delivery?.position, { partition: 1, offset: 0 });
  assert.equal(delivery?.envelope.header.datacontenttype, "application/json");
});
