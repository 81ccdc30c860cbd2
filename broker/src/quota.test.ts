import assert from "node:assert/strict";
import { test } from "node:test";
import { folder, open, probe, toQueue, topology, until } from "./fixture.test.support.ts";

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
