import assert from "node:assert/strict";
import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { type TestContext, test } from "node:test";
import type { Delivery } from "@waybill/core";
import {
  folder,
  open,
  probe,
  toQueue,
  topology,
  toStream,
  until,
} from "../fixture.test.support.ts";

interface Disk {
  syncs: number;
  isBroken: boolean;
}

/** Counts what the broker brings to the disk, and refuses it while the disk is broken. */
function watchDisk(context: TestContext): Disk {
  const disk: Disk = { syncs: 0, isBroken: false };
  const sync = fs.fdatasyncSync;
  const replace = (by: typeof fs.fdatasyncSync): void => {
    fs.fdatasyncSync = by;
    syncBuiltinESMExports();
  };
  replace((descriptor) => {
    if (disk.isBroken) throw new Error("EIO: i/o error, fdatasync");
    disk.syncs += 1;
    sync(descriptor);
  });
  context.after(() => replace(sync));
  return disk;
}

test("each acknowledged send has been brought to the disk; by option none", async (context) => {
  const disk = watchDisk(context);
  for (const [synchronous, each] of [
    ["full", 1],
    ["normal", 0],
  ] as const) {
    const transport = await open(context, folder(context), { synchronous });
    await transport.declare(topology({ queues: [{ name: "orders" }] }));
    for (let count = 0; count < 5; count++) {
      const before = disk.syncs;
      await transport.send([toQueue("orders", `${count}`)]);
      assert.ok(disk.syncs - before >= each, `${synchronous}: ${disk.syncs - before}`);
      if (each === 0) assert.equal(disk.syncs, before);
    }
  }
});

test("when the disk refuses, sends are rejected and nothing claimed is handled until its lock has ended", async (context) => {
  const disk = watchDisk(context);
  const transport = await open(context, folder(context));
  await transport.declare(
    topology({
      queues: [{ name: "orders" }],
      streams: [{ name: "readings", partitions: 1, retention: {} }],
    }),
  );
  const group = { kind: "stream", name: "readings", group: "audit" } as const;
  const answers: string[] = [];
  const options = {
    lockMs: 500,
    onDelivery: (delivery: Delivery) =>
      void delivery.settle({ kind: "complete" }).then((answer) => answers.push(answer)),
  };
  const queue = probe(transport, { kind: "queue", name: "orders" }, options);
  const stream = probe(transport, group, options);
  await transport.send([toQueue("orders", "before"), toStream("readings", "before", "key")]);
  await until("before", () => answers.length === 2);
  disk.isBroken = true;
  const refused = transport.send([toQueue("orders", "one"), toStream("readings", "one", "key")]);
  await assert.rejects(refused, { code: "STORAGE_FAILED" });
  await until("faults", () => queue.faults.length > 0 && stream.faults.length > 0);
  assert.deepEqual([...queue.bodies(), ...stream.bodies()], ["before", "before"]);
  disk.isBroken = false;
  for (const { bodies } of [queue, stream])
    await until("what the disk had refused", () => bodies().includes("one"));
  await until("settled", () => answers.filter((answer) => answer === "settled").length === 4);
});
