import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { fakeEnvironment } from "@waybill/testkit";
import { folder, open, probe, toQueue, topology, until } from "../fixture.test.support.ts";

const source = { kind: "queue", name: "orders" } as const;

test("a message sent by another process wakes a receiver without any clock", async (context) => {
  const directory = folder(context);
  const environment = fakeEnvironment();
  const receiving = await open(context, directory, { environment });
  await receiving.declare(topology({ queues: [{ name: "orders" }] }));
  const { deliveries } = probe(receiving, source);
  await environment.drain();
  const sending = await open(context, directory);
  for (let count = 1; count <= 20; count++) {
    await sending.send([toQueue("orders", `${count}`)]);
    await until(`message ${count}`, () => deliveries.length === count);
  }
  assert.equal(environment.clock.monotonic(), 0);
});

test("without notification of the file system the poll finds it within two seconds", async (context) => {
  const directory = folder(context);
  const environment = fakeEnvironment();
  const sending = await open(context, directory);
  await sending.declare(topology({ queues: [{ name: "orders" }] }));
  // The receiver watches a bell of its own, which nobody rings.
  rmSync(join(directory, "waybill.bell"));
  writeFileSync(join(directory, "waybill.bell"), "");
  const receiving = await open(context, directory, { environment });
  const { deliveries } = probe(receiving, source);
  await environment.drain();
  await sending.send([toQueue("orders", "silent")]);
  await environment.advance(2_000);
  assert.equal(deliveries.length, 1);
});

test("an idle receiver begins no transaction", async (context) => {
  const environment = fakeEnvironment();
  const transport = await open(context, folder(context), { environment });
  await transport.declare(topology({ queues: [{ name: "orders" }] }));
  const { deliveries } = probe(transport, source);
  await environment.drain();
  // Only heartbeats: the wake-ups of a minute are polls of one second and one heartbeat in two.
  await environment.advance(60_000);
  assert.equal(deliveries.length, 0);
  await transport.send([toQueue("orders", "here")]);
  await environment.drain();
  assert.equal(deliveries.length, 1);
});

test("what could not be taken because the storage failed is taken when it works again", async (context) => {
  const directory = folder(context);
  const environment = fakeEnvironment();
  const transport = await open(context, directory, { environment });
  await transport.declare(topology({ queues: [{ name: "orders" }] }));
  await transport.send([toQueue("orders", "patient")]);
  const rival = new DatabaseSync(join(directory, "waybill.db"));
  rival.exec("begin immediate");
  const { deliveries, faults } = probe(transport, source);
  await environment.advance(11_000);
  assert.equal(faults[0]?.code, "STORAGE_BUSY");
  assert.equal(deliveries.length, 0);
  rival.exec("rollback");
  rival.close();
  await environment.advance(2_000);
  assert.equal(deliveries.length, 1);
});

test("a resume wakes receivers without any clock, in this process and in others", async (context) => {
  const directory = folder(context);
  const environment = fakeEnvironment();
  const receiving = await open(context, directory, { environment });
  await receiving.declare(topology({ queues: [{ name: "orders" }] }));
  const { deliveries } = probe(receiving, source);
  await environment.drain();
  const other = await open(context, directory);
  await other.inspection.pause("orders", "a test");
  await other.send([toQueue("orders", "kept")]);
  await environment.advance(60_000);
  assert.equal(deliveries.length, 0);
  const before = environment.clock.monotonic();
  await other.inspection.resume("orders");
  await until("the message", () => deliveries.length === 1);
  const pausing = receiving.inspection.pause("orders", "a test");
  await environment.drain();
  await pausing;
  const sending = receiving.send([toQueue("orders", "kept again")]);
  await environment.drain();
  await sending;
  const resuming = receiving.inspection.resume("orders");
  await environment.drain();
  assert.equal(await resuming, true);
  assert.equal(deliveries.length, 2);
  assert.equal(environment.clock.monotonic(), before);
});
