import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import type { LedgerEntry, Transport } from "@waybill/core";
import { fakeEnvironment } from "@waybill/testkit";
import {
  failure,
  folder,
  message,
  open,
  probe,
  toQueue,
  toStream,
  topology,
  until,
} from "../fixture.test.support.ts";
import { unroutedMax } from "../queues/arrivals.ts";

const queue = "orders";
const source = { kind: "queue", name: queue } as const;

async function entry(transport: Transport, address = queue): Promise<LedgerEntry> {
  const found = (await transport.inspection.ledger()).find((each) => each.address === address);
  assert.ok(found, `the ledger has no "${address}"`);
  return found;
}

function orders(count: number) {
  return Array.from({ length: count }, (_, index) => toQueue(queue, `${index}`));
}

async function withOrders(context: TestContext, count: number) {
  const directory = folder(context);
  const transport = await open(context, directory);
  await transport.declare(topology({ queues: [{ name: queue }] }));
  await transport.send(orders(count));
  const edit = (text: string): void => {
    const db = new DatabaseSync(join(directory, "waybill.db"));
    db.exec(text);
    db.close();
  };
  return { directory, transport, edit };
}

test("the books are those of all processes, and go on after a restart", async (context) => {
  const { directory, transport } = await withOrders(context, 5);
  const other = await open(context, directory);
  await other.send(orders(2));
  const seen = probe(other, source, { prefetch: 3 });
  await until("three came", () => seen.deliveries.length === 3);
  await seen.receiver.stop();
  await seen.deliveries[0]?.settle({ kind: "complete" });
  await seen.deliveries[1]?.settle({ kind: "deadLetter", failure });
  const both = [await entry(transport), await entry(other)];
  for (const { accepted, completed, dead, waiting, balanced } of both)
    assert.deepEqual(
      [accepted, completed, dead, waiting.ready, waiting.inFlight, balanced],
      [7, 1, 1, 4, 1, true],
    );
  for (const each of [transport, other]) await each[Symbol.asyncDispose]();
  const again = await entry(await open(context, directory));
  assert.deepEqual(
    [again.accepted, again.completed, again.dead, again.waiting.ready, again.balanced],
    [7, 1, 1, 5, true],
  );
});

test("a message that is lost, or comes from nowhere, shows as a difference", async (context) => {
  const { transport, edit } = await withOrders(context, 5);
  edit("delete from ready where seq = (select min(seq) from ready)");
  const lost = await entry(transport);
  assert.deepEqual([lost.difference, lost.balanced], [1, false]);
  edit("insert into ready select address, seq + 100, 0, 0, null from ready limit 3");
  const found = await entry(transport);
  assert.deepEqual([found.difference, found.balanced], [-2, false]);
});

test("a message whose header cannot be read is discarded and booked like any other", async (context) => {
  const { transport, edit } = await withOrders(context, 3);
  const { inspection } = transport;
  edit("update message set header = '{' where seq = (select min(seq) from message)");
  assert.equal(await inspection.purge(queue, "ready"), 3);
  const { accepted, left, balanced } = await entry(transport);
  assert.deepEqual([accepted, left, balanced], [3, { purged: 3 }, true]);
});

test("an item that is lost from a log, and a group that skips some, show as differences", async (context) => {
  const directory = folder(context);
  const transport = await open(context, directory);
  const streams = [{ name: "readings", partitions: 1, retention: {} }];
  await transport.declare(topology({ streams }));
  const batch = Array.from({ length: 10_500 }, (_, index) => toStream("readings", `${index}`, "k"));
  await transport.send(batch.slice(0, 100));
  const group = probe(transport, { kind: "stream", name: "readings", group: "g" }, { prefetch: 5 });
  await until("five came", () => group.deliveries.length === 5);
  assert.deepEqual(
    [
      (await entry(transport, "readings")).retained,
      (await entry(transport, "readings@g")).balanced,
    ],
    [100, true],
  );
  const db = new DatabaseSync(join(directory, "waybill.db"));
  context.after(() => db.close());
  db.exec("update stream_cursor set committed = committed + 3");
  assert.equal((await entry(transport, "readings@g")).difference, 3);
  db.exec(
    "delete from stream_item where place in (select place from stream_item limit 2 offset 50)",
  );
  assert.equal((await entry(transport, "readings")).difference, 2);
  // Of many only the ends are looked at.
  await transport.send(batch);
  assert.equal((await entry(transport, "readings")).balanced, true);
  db.exec("delete from stream_item where place = (select max(place) from stream_item)");
  await until("it is looked at anew", async () => !(await entry(transport, "readings")).balanced);
});

test("what retention takes is named: in the log, and as skipped where a group had not read it", async (context) => {
  const environment = fakeEnvironment();
  const transport = await open(context, folder(context), { environment });
  const streams = [{ name: "readings", partitions: 1, retention: { bytes: 3_000 } }];
  await transport.declare(topology({ streams }));
  const group = { kind: "stream", name: "readings", group: "g" } as const;
  const batch = (count: number) =>
    Array.from({ length: count }, () => toStream("readings", ".".repeat(1_000), "k"));
  await transport.send(batch(2));
  const early = probe(transport, group, { prefetch: 2 });
  await environment.drain();
  await early.deliveries[0]?.settle({ kind: "complete" });
  await early.receiver.stop();
  await transport.send(batch(8));
  await environment.advance(30_000);
  const log = await entry(transport, "readings");
  assert.deepEqual([log.accepted, log.retained, log.left], [10, 3, { retention: 7 }]);
  // One of those that were removed was in flight, and is completed after that.
  await early.deliveries[1]?.settle({ kind: "complete" });
  const slow = await entry(transport, "readings@g");
  assert.deepEqual(
    [slow.accepted, slow.completed, slow.left, slow.waiting.ready, slow.balanced],
    [10, 1, { skipped: 6 }, 3, true],
  );
});

test("evicted events are named", async (context) => {
  const transport = await open(context, folder(context));
  await transport.declare(topology({ topics: [{ name: "orders" }] }));
  const event = (body: string) => message({ kind: "topic", name: "orders" }, body);
  for (let sent = 0; sent < unroutedMax; sent += 2_500)
    await transport.send(Array.from({ length: 2_500 }, (_, index) => event(`${index}`)));
  await transport.send([event("one"), event("more")]);
  const { accepted, dead, left, balanced } = await entry(transport, "orders/");
  assert.deepEqual(
    [accepted, dead, left, balanced],
    [unroutedMax + 2, unroutedMax, { evicted: 2 }, true],
  );
});

test("the ledger polled over a large backlog does not count it each time, and stays balanced", async (context) => {
  const directory = folder(context);
  const environment = fakeEnvironment();
  const transport = await open(context, directory, { environment });
  await transport.declare(topology({ queues: [{ name: queue }] }));
  for (let sent = 0; sent < 12; sent++) await transport.send(orders(1_000));
  assert.equal((await entry(transport)).accepted, 12_000);
  await transport.send(orders(10));
  const kept = await entry(transport);
  assert.deepEqual([kept.accepted, kept.waiting.ready, kept.balanced], [12_000, 12_000, true]);
  await environment.advance(12);
  const read = await entry(transport);
  assert.deepEqual([read.accepted, read.waiting.ready, read.balanced], [12_010, 12_010, true]);
});
