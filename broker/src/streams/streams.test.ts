import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Delivery, Transport } from "@waybill/core";
import { type FakeEnvironment, fakeEnvironment, stallingEnvironment } from "@waybill/testkit";
import {
  failure,
  folder,
  open,
  probe,
  toQueue,
  toStream,
  topology,
} from "../fixture.test.support.ts";

const lockMs = 3_000;
const group = { kind: "stream", name: "readings", group: "audit" } as const;
const one = topology({ streams: [{ name: "readings", partitions: 1, retention: {} }] });

interface Setting {
  readonly directory: string;
  readonly environment: FakeEnvironment;
  readonly transport: Transport;
}

async function withStream(context: TestContext, declared = one): Promise<Setting> {
  const directory = folder(context);
  const environment = fakeEnvironment();
  const transport = await open(context, directory, { environment });
  await transport.declare(declared);
  return { directory, environment, transport };
}

const seen = (deliveries: readonly Delivery[]): string[] =>
  deliveries.map(({ envelope, attempt }) => `${String(envelope.body)}#${attempt}`);
const numbers = (count: number, from = 0): string[] =>
  Array.from({ length: count }, (_, index) => `${from + index}`);

/** A reader whose process dies as soon as it is handed the poison, having completed what came before. */
async function dieAt(
  context: TestContext,
  { directory, environment }: Setting,
  poison: string,
): Promise<string[]> {
  const mortal = stallingEnvironment(environment);
  context.after(() => mortal.wake());
  const dying = await open(context, directory, { environment: mortal });
  const deliveries: Delivery[] = [];
  probe(dying, group, {
    lockMs,
    onDelivery: (delivery) => {
      deliveries.push(delivery);
      if (delivery.envelope.body === poison) mortal.stall();
      else void delivery.settle({ kind: "complete" });
    },
  });
  await environment.advance(lockMs);
  mortal.stall();
  await environment.advance(2 * lockMs);
  return seen(deliveries);
}

test("an item that kills its reader is found: alone in flight, each attempt counted, until it is set aside", async (context) => {
  const setting = await withStream(context);
  const { transport, environment } = setting;
  await transport.send(numbers(6).map((body) => toStream("readings", body, "k")));
  const first = await dieAt(context, setting, "2");
  assert.deepEqual(first, ["0#1", "1#1", "2#1", "3#1", "4#1", "5#1"]);
  const second = await dieAt(context, setting, "2");
  const third = await dieAt(context, setting, "2");
  // The first reader died before anything of its batch was committed.
  assert.deepEqual(second, ["0#2", "1#2", "2#2"]);
  assert.deepEqual(third, ["2#3"]);
  const last = probe(transport, group, {
    lockMs,
    onDelivery: (delivery) =>
      void delivery.settle(
        delivery.attempt > 3 ? { kind: "deadLetter", failure } : { kind: "complete" },
      ),
  });
  await environment.advance(2 * lockMs);
  assert.deepEqual(seen(last.deliveries), ["2#4", "3#2", "4#2", "5#2"]);
  const dead = await transport.inspection.list({
    state: "dead",
    address: "readings@audit",
    limit: 10,
  });
  assert.deepEqual(
    dead.map(({ envelope, attempt }) => [envelope.body, attempt]),
    [["2", 4]],
  );
});

test("when a member dies, another goes on from the committed offset", async (context) => {
  const setting = await withStream(
    context,
    topology({ streams: [{ name: "readings", partitions: 4, retention: {} }] }),
  );
  const { directory, environment, transport } = setting;
  const mortal = stallingEnvironment(environment);
  context.after(() => mortal.wake());
  const dying = await open(context, directory, { environment: mortal });
  const settle = (delivery: Delivery): void => void delivery.settle({ kind: "complete" });
  const lost = probe(dying, group, { lockMs, onDelivery: settle });
  const rest = probe(transport, group, { lockMs, onDelivery: settle });
  await environment.advance(5_000);
  await transport.send(numbers(40).map((body) => toStream("readings", body, body)));
  await environment.advance(5_000);
  assert.ok(lost.deliveries.length > 0 && rest.deliveries.length > 0, "both read");
  assert.equal(lost.deliveries.length + rest.deliveries.length, 40);
  mortal.stall();
  await transport.send(numbers(40, 40).map((body) => toStream("readings", body, body)));
  await environment.advance(3 * lockMs);
  assert.deepEqual(
    rest
      .bodies()
      .filter((body) => Number(body) >= 40)
      .toSorted(),
    numbers(40, 40).toSorted(),
  );
  assert.ok(
    seen(rest.deliveries).every((each) => each.endsWith("#1")),
    "nothing was begun twice",
  );
});

test("a reader that stops hands over without an attempt being counted for what it released", async (context) => {
  const { environment, transport } = await withStream(context);
  await transport.send(numbers(3).map((body) => toStream("readings", body, "k")));
  const first = probe(transport, group, { lockMs });
  await environment.drain();
  assert.equal(first.deliveries.length, 3);
  await first.receiver.stop();
  for (const delivery of first.deliveries) await delivery.settle({ kind: "release" });
  const second = probe(transport, group, { lockMs });
  await environment.advance(2_000);
  assert.deepEqual(seen(second.deliveries), ["0#1", "1#1", "2#1"]);
});

test("what was read before a seek is fenced though the same reader has the partition again", async (context) => {
  const { environment, transport } = await withStream(context);
  await transport.declare(topology({ queues: [{ name: "other" }] }));
  await transport.send(numbers(5).map((body) => toStream("readings", body, "k")));
  const reader = probe(transport, group, { lockMs });
  await environment.drain();
  const [, second] = reader.deliveries;
  await transport.inspection.seek("readings", "audit", "start");
  // The reader takes the partition in the next transaction, which these fill: the settlement comes in the one after.
  const filling = transport.send(numbers(1_000).map((body) => toQueue("other", body)));
  const settling = second?.settle({ kind: "complete" });
  await environment.drain();
  await filling;
  assert.equal(await settling, "lockLost");
  assert.deepEqual(seen(reader.deliveries.slice(5)), ["0#1", "1#1", "2#1", "3#1", "4#1"]);
  for (const delivery of reader.deliveries.slice(5, 8)) void delivery.settle({ kind: "complete" });
  await environment.drain();
  const [audit] = await transport.inspection.groups("readings");
  assert.equal(audit?.partitions[0]?.committed, 3);
});

test("a reader that is stopping is told what a seek took from it, and ends", async (context) => {
  const { directory, environment, transport } = await withStream(context);
  await transport.send(numbers(2).map((body) => toStream("readings", body, "k")));
  const reader = probe(transport, group, { lockMs });
  await environment.drain();
  let lost = 0;
  for (const delivery of reader.deliveries) delivery.onLockLost = () => void (lost += 1);
  await reader.receiver.stop();
  const other = await open(context, directory, { environment });
  await other.inspection.seek("readings", "audit", "start");
  await environment.advance(2_000);
  assert.equal(lost, 2);
  const next = probe(other, group, { lockMs });
  await environment.advance(2_000);
  assert.deepEqual(seen(next.deliveries), ["0#1", "1#1"]);
});

test("a seek to a moment looks at few of many items", async (context) => {
  const { environment, transport } = await withStream(context);
  for (let batch = 0; batch < 10; batch++) {
    await transport.send(numbers(1_000).map((body) => toStream("readings", body, "k")));
    await environment.advance(10);
  }
  const reader = probe(transport, group, { lockMs, prefetch: 1 });
  await environment.drain();
  await reader.receiver.stop();
  await reader.deliveries[0]?.settle({ kind: "complete" });
  const at = environment.clock.now() - 45;
  const { partitions } = await transport.inspection.seek("readings", "audit", { at });
  assert.equal(partitions[0]?.committed, 6_000);
});

test("items leave by age and by size, oldest first, and a reader goes on behind them", async (context) => {
  const { environment, transport } = await withStream(
    context,
    topology({
      streams: [{ name: "readings", partitions: 1, retention: { ageMs: 60_000, bytes: 3_000 } }],
    }),
  );
  await transport.send(
    numbers(10).map((body) => toStream("readings", body.padEnd(1_000, "."), "k")),
  );
  await environment.advance(30_000);
  const bySize = probe(transport, group, { lockMs });
  await environment.advance(1_000);
  assert.deepEqual(
    bySize.deliveries.map(({ position }) => position?.offset),
    [7, 8, 9],
  );
  await environment.advance(60_000);
  const byAge = probe(transport, { ...group, group: "late" }, { lockMs });
  await transport.send([toStream("readings", "new", "k")]);
  await environment.drain();
  assert.deepEqual(
    byAge.deliveries.map(({ position }) => position?.offset),
    [10],
  );
});
