import assert from "node:assert/strict";
import { test } from "node:test";
import { failure, folder, open, probe, toQueue, topology, until } from "../fixture.test.support.ts";

test("at the quota sending fails with STORAGE_FULL, settling works, and then sending works again", async (context) => {
  const transport = await open(context, folder(context), { quotaBytes: 2 * 1024 * 1024 });
  await transport.declare(topology({ queues: [{ name: "orders" }] }));
  const body = "x".repeat(10_000);
  let stored = 0;
  const fill = async (): Promise<void> => {
    for (;;) {
      await transport.send([toQueue("orders", body)]);
      stored += 1;
    }
  };
  await assert.rejects(fill(), { code: "STORAGE_FULL", retryable: true });
  assert.ok(stored > 150 && stored < 210, `${stored} were stored`);
  let settled = 0;
  probe(
    transport,
    { kind: "queue", name: "orders" },
    {
      onDelivery: (delivery) =>
        void delivery
          .settle({ kind: "complete" })
          .then((answer) => (settled += answer === "settled" ? 1 : 0)),
    },
  );
  await until("everything to be settled", () => settled === stored);
  await transport.send([toQueue("orders", body)]);
});

test("at the quota messages can be set aside, discarded and purged, and then sending works again", async (context) => {
  const transport = await open(context, folder(context), { quotaBytes: 2 * 1024 * 1024 });
  const queues = [{ name: "orders", dedupWindowMs: 60_000 }, { name: "others" }];
  await transport.declare(topology({ queues }));
  const body = "x".repeat(10_000);
  const fill = async (): Promise<void> => {
    for (;;) await transport.send([toQueue("orders", body), toQueue("others", "small")]);
  };
  await assert.rejects(fill(), { code: "STORAGE_FULL" });
  const orders = probe(transport, { kind: "queue", name: "orders" }, { prefetch: 50 });
  await until("50 deliveries", () => orders.deliveries.length >= 50);
  await orders.receiver.stop();
  const buried = { kind: "deadLetter", failure } as const;
  for (const delivery of orders.deliveries) assert.equal(await delivery.settle(buried), "settled");
  await assert.rejects(transport.send([toQueue("others", body)]), { code: "STORAGE_FULL" });
  const { inspection } = transport;
  const [first] = await inspection.list({ state: "dead", address: "orders", limit: 1 });
  assert.equal(await inspection.discard([first?.handle ?? ""]), 1);
  assert.equal(await inspection.purge("orders", "dead"), orders.deliveries.length - 1);
  await transport.send([toQueue("others", body)]);
});
