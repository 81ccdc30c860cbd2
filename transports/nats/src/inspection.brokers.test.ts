import assert from "node:assert/strict";
import { test } from "node:test";
import type { StoredMessage, Transport } from "@waybill/core";
import { Corner, open, until } from "./corner.test.support.ts";

const address = "orders";
const source = { kind: "queue", name: address } as const;
const limits = { prefetch: 20, prefetchBytes: 1_000_000, lockMs: 30_000 };
const failure = {
  reason: "HANDLER_FAILED",
  message: "planned",
  service: "test",
  handler: "test",
  attempts: 1,
  firstFailedAt: 0,
  lastFailedAt: 0,
};

async function withDead(transport: Transport, count: number): Promise<void> {
  await transport.declare({ queues: [source], topics: [], subscriptions: [], streams: [] });
  const settled: Promise<unknown>[] = [];
  // One after the other, so that they are set aside in their order.
  transport.receive(
    source,
    { ...limits, prefetch: 1 },
    {
      deliver: (batch) => {
        for (const each of batch) settled.push(each.settle({ kind: "deadLetter", failure }));
      },
      fault: () => undefined,
    },
  );
  for (let index = 0; index < count; index++) {
    const header = {
      specversion: "1.0",
      id: String(index),
      source: "/test",
      type: "orders.place",
      time: new Date(0).toISOString(),
      datacontenttype: "text/plain",
      conversationid: "test",
    } as const;
    await transport.send([{ to: source, envelope: { header, body: "" } }]);
  }
  await until("all are dead", () => settled.length === count);
  await Promise.all(settled);
}

const ids = (page: readonly StoredMessage[]): readonly string[] =>
  page.map(({ envelope }) => envelope.header.id);

test("who removes what a page shows goes on behind it, also where the page's last message is gone", async () => {
  await using corner = new Corner();
  await using transport = await open(corner.factory());
  await withDead(transport, 7);
  const { inspection } = transport;
  const query = { state: "dead", address, limit: 2 } as const;
  const first = await inspection.list(query);
  assert.deepEqual(ids(first), ["0", "1"]);
  const after = first[1]?.handle ?? "";
  assert.equal(await inspection.discard([after]), 1);
  const second = await inspection.list({ ...query, after });
  assert.deepEqual(ids(second), ["2", "3"]);
  // Replayed it dies again, behind all others.
  const last = second[1]?.handle ?? "";
  assert.equal(await inspection.replay(second.map(({ handle }) => handle)), 2);
  const everything = { state: "dead", limit: 10 } as const;
  await until("they died again", async () => (await inspection.list(everything)).length === 6);
  const third = await inspection.list({ ...everything, after: last });
  assert.deepEqual(ids(third).slice(0, 3), ["4", "5", "6"]);
  assert.deepEqual(ids(third).slice(3).toSorted(), ["2", "3"]);
});
