import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { backup } from "./backup.ts";
import { folder, open, probe, toQueue, topology, until } from "../fixture.test.support.ts";

test("a backup under load holds one moment of the broker: whole batches, all that was accepted before it", async (context) => {
  const directory = folder(context);
  const transport = await open(context, directory);
  await transport.declare(topology({ queues: [{ name: "left" }, { name: "right" }] }));
  const pair = (index: number) => [
    toQueue("left", String(index)),
    toQueue("right", String(index)),
    toQueue("right", "x".repeat(2_000)),
  ];
  let sent = 0;
  const ending = new AbortController();
  const load = (async () => {
    for (; !ending.signal.aborted; sent += 1) await transport.send(pair(sent));
  })();
  await until("a load", () => sent > 100);
  const before = sent;
  const copies = folder(context);
  const file = join(copies, "copy.db");
  await backup({ directory, file });
  const after = sent;
  await until("the load goes on", () => sent > after + 10);
  ending.abort();
  await load;
  assert.deepEqual(readdirSync(copies), ["copy.db"]);
  const db = new DatabaseSync(file, { readOnly: true });
  assert.deepEqual(Object.values(db.prepare("pragma integrity_check").get() ?? {}), ["ok"]);
  db.close();

  const restored = join(copies, "restored");
  mkdirSync(restored);
  copyFileSync(file, join(restored, "waybill.db"));
  const again = await open(context, restored);
  const states = await again.inspection.addresses();
  const [left = 0, right = 0] = ["left", "right"].map(
    (name) => states.find(({ address }) => address === name)?.ready,
  );
  assert.equal(right, 2 * left);
  assert.ok(left >= before && left <= after + 1, `${left} of ${before} to ${after}`);
  const reader = probe(again, { kind: "queue", name: "left" }, { prefetch: 50 });
  await until("50 of them", () => reader.deliveries.length === 50);
  assert.deepEqual(
    reader.bodies(),
    Array.from({ length: 50 }, (_, index) => String(index)),
  );
});

test("a backup overwrites nothing, names what is missing and leaves nothing behind when it fails", async (context) => {
  const directory = folder(context);
  const copies = folder(context);
  const file = join(copies, "copy.db");
  await assert.rejects(backup({ directory, file }), { code: "NOT_FOUND" });
  await open(context, directory);
  writeFileSync(file, "precious");
  await assert.rejects(backup({ directory, file }), { code: "OPTION_INVALID" });
  const nowhere = join(copies, "no", "such", "folder.db");
  await assert.rejects(backup({ directory, file: nowhere }), (error: { code?: string }) =>
    (error.code ?? "").startsWith("STORAGE_"),
  );
  const broken = folder(context);
  writeFileSync(join(broken, "waybill.db"), "x".repeat(5_000));
  await assert.rejects(backup({ directory: broken, file: join(copies, "other.db") }), {
    code: "STORAGE_INVALID",
  });
  assert.deepEqual(readdirSync(copies), ["copy.db"]);
});
