import assert from "node:assert/strict";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { fakeEnvironment } from "@waybill/testkit";
import { folder, open, toQueue, topology } from "../fixture.test.support.ts";

test("what is remembered goes when its time is over: by what is sent, and a minute later by itself", async (context) => {
  const directory = folder(context);
  const environment = fakeEnvironment();
  const transport = await open(context, directory, { environment });
  const declared = transport.declare(
    topology({ queues: [{ name: "orders", dedupWindowMs: 1_000 }] }),
  );
  await Promise.all([declared, environment.advance(10)]);
  const db = new DatabaseSync(join(directory, "waybill.db"), { readOnly: true });
  context.after(() => db.close());
  const remembered = (): unknown =>
    db.prepare("select count(*) as count from remembered").get()?.["count"];
  const send = async (count: number): Promise<void> => {
    const batch = Array.from({ length: count }, () => toQueue("orders", "x"));
    await Promise.all([transport.send(batch), environment.advance(10)]);
  };
  await send(100);
  assert.equal(remembered(), 100);
  await environment.advance(2_000);
  await send(10);
  assert.equal(remembered(), 90);
  await send(45);
  assert.equal(remembered(), 55);
  await environment.advance(70_000);
  assert.equal(remembered(), 0);
});
