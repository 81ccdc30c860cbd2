import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Delivery, Transport } from "@waybill/core";
import { type FakeEnvironment, fakeEnvironment } from "@waybill/testkit";
import {
  failure,
  folder,
  open,
  probe,
  toQueue,
  toStream,
  topology,
} from "../fixture.test.support.ts";

/** The clock stands still in all of these: nothing may wait for a poll. */

const body = "x".repeat(1_000);
const thirty = Array.from({ length: 30 }, () => body);
const queue = { kind: "queue", name: "orders" } as const;
const group = { kind: "stream", name: "readings", group: "audit" } as const;

async function start(
  context: TestContext,
): Promise<{ environment: FakeEnvironment; transport: Transport }> {
  const environment = fakeEnvironment();
  const transport = await open(context, folder(context), { environment });
  const streams = [{ name: group.name, partitions: 1, retention: {} }];
  await transport.declare(topology({ queues: [{ name: queue.name }], streams }));
  return { environment, transport };
}

test("a receiver whose bytes are used up takes more as soon as it has settled something", async (context) => {
  const { environment, transport } = await start(context);
  await transport.send(thirty.map((each) => toQueue(queue.name, each)));
  let held = 0;
  let most = 0;
  const { deliveries } = probe(transport, queue, {
    prefetchBytes: 3_500,
    onDelivery: (delivery) => {
      most = Math.max(most, (held += 1));
      environment.timers.soon(() => {
        held -= 1;
        void delivery.settle({ kind: "complete" });
      });
    },
  });
  await environment.drain();
  assert.equal(deliveries.length, 30);
  assert.equal(most, 3);
});

test("an item of a stream that takes long does not use up the bytes of those behind it", async (context) => {
  const { environment, transport } = await start(context);
  await transport.send(thirty.map((each) => toStream(group.name, each, "k")));
  const { deliveries } = probe(transport, group, {
    prefetchBytes: 3_500,
    onDelivery: (delivery) => {
      if (delivery.position?.offset !== 0) void delivery.settle({ kind: "complete" });
    },
  });
  await environment.drain();
  assert.equal(deliveries.length, 30);
});

test("what was replayed to a group comes when its reader has room again", async (context) => {
  const { environment, transport } = await start(context);
  await transport.send([toStream(group.name, body, "k"), toStream(group.name, body, "k")]);
  const { deliveries } = probe(transport, group, { prefetchBytes: 1_000 });
  await environment.drain();
  await deliveries[0]?.settle({ kind: "deadLetter", failure });
  await environment.drain();
  const [dead] = await transport.inspection.list({ state: "dead", limit: 1 });
  assert.equal(await transport.inspection.replay([dead?.handle ?? ""]), 1);
  await environment.drain();
  const offsets = (): unknown[] => deliveries.map(({ position }: Delivery) => position?.offset);
  assert.deepEqual(offsets(), [0, 1]);
  await deliveries[1]?.settle({ kind: "complete" });
  await environment.drain();
  assert.deepEqual(offsets(), [0, 1, 0]);
});
