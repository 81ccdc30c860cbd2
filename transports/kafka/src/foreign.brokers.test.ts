import assert from "node:assert/strict";
import { test } from "node:test";
import type { Delivery, Source } from "@waybill/core";
import { Corner, ignore, until } from "./corner.test.support.ts";

const limits = { prefetch: 20, prefetchBytes: 10_000_000, lockMs: 3_000 };
const failure = {
  reason: "POISON",
  message: "unreadable",
  service: "test",
  handler: "test",
  attempts: 1,
  firstFailedAt: 0,
  lastFailedAt: 0,
} as const;

type Headers = Record<string, string>;

interface Foreign {
  readonly value?: Buffer;
  readonly headers?: Headers;
}

/** What no client of ours would write. */
const foreign: Readonly<Record<string, Foreign>> = {
  "a tombstone": {},
  "a body as large as the brokers allow": { value: Buffer.alloc(1_040_000, "x") },
  "more headers than ours": { value: Buffer.from("h"), headers: { ce_much: "x".repeat(200_000) } },
  "a moment that is none": {
    value: Buffer.from("m"),
    headers: { "waybill-enqueued-at": "9000000000000000", "waybill-not-after": "nonsense" },
  },
  "a name that no handle can have": {
    value: Buffer.from("n"),
    headers: { "waybill-token": "not|a token" },
  },
  "nonsense for numbers and JSON": {
    value: Buffer.from([0xff, 0xfe]),
    headers: { "waybill-attempts": "-7", "waybill-failure": "{", "waybill-attributes": "[1]" },
  },
  "what is good": { value: Buffer.from("good") },
};

const sources: readonly {
  readonly source: Source;
  readonly topic: (corner: Corner) => string;
  readonly address: string;
}[] = [
  {
    source: { kind: "queue", name: "orders" },
    topic: ({ names }) => names.queueTopic("orders"),
    address: "orders",
  },
  {
    source: { kind: "subscription", topic: "placed", name: "billing" },
    topic: ({ names }) => names.eventTopic("placed"),
    address: "placed/billing",
  },
  {
    source: { kind: "stream", name: "readings", group: "readers" },
    topic: ({ names }) => names.streamTopic("readings"),
    address: "readings@readers",
  },
];

for (const { source, topic, address } of sources)
  test(`whatever others produce to a ${source.kind} comes, is set aside whole, found, given back and discarded`, async () => {
    await using corner = new Corner();
    const transport = await corner.open({ partitions: 1 });
    await transport.declare({
      queues: [{ name: "orders" }],
      topics: [{ name: "placed" }],
      subscriptions: [{ topic: "placed", name: "billing", accepts: [{ type: "placed" }] }],
      streams: [{ name: "readings", partitions: 1, retention: {} }],
    });
    const taken: Delivery[] = [];
    const faults: Error[] = [];
    const receiver = transport.receive(source, limits, {
      deliver: (batch) => void taken.push(...batch),
      fault: (error) => void faults.push(error),
    });
    const producer = corner.producer();
    for (const { value, headers = {} } of Object.values(foreign)) {
      const typed = new Map(
        Object.entries({ ce_type: "placed", ...headers }).map(([name, text]) => [
          Buffer.from(name),
          Buffer.from(text),
        ]),
      );
      const record = { topic: topic(corner), partition: 0, headers: typed };
      await producer.send({ messages: [{ ...record, ...(value !== undefined && { value }) }] });
    }
    const count = Object.keys(foreign).length;
    await until(
      `${count} come: ${faults.join()}`,
      () => taken.length === count || faults.length > 0,
    );
    assert.deepEqual(faults, []);
    const bodies = taken.map(({ envelope }) => Buffer.from(envelope.body).byteLength);
    for (const [index, delivery] of taken.entries())
      assert.equal(
        await delivery.settle({ kind: "deadLetter", failure }),
        "settled",
        Object.keys(foreign)[index],
      );
    const { inspection } = transport;
    const listed = await inspection.list({ state: "dead", address, limit: 100 });
    assert.deepEqual(
      listed.map(({ envelope }) => Buffer.from(envelope.body).byteLength),
      bodies,
    );
    const handles = listed.map(({ handle }) => handle);
    for (const handle of handles) assert.ok(await inspection.get(handle), handle);
    const [first = "", ...others] = handles;
    assert.equal(await inspection.replay([first]), 1);
    await until("it comes again", () => taken.length === count + 1);
    await taken.at(-1)?.settle({ kind: "complete" });
    assert.equal(await inspection.discard(others), others.length);
    assert.deepEqual(await inspection.list({ state: "dead", address, limit: 100 }), []);
    await receiver.stop().catch(ignore);
  });
