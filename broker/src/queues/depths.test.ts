import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { join } from "node:path";
import { test } from "node:test";
import { fakeEnvironment } from "@waybill/testkit";
import { Kept } from "./depths.ts";
import { folder, open, topology } from "../fixture.test.support.ts";

test("small counts are exact, large ones are kept for a while, the longer the larger", async () => {
  const environment = fakeEnvironment();
  const depths = new Kept<number>(environment.clock, (count) => count);
  let size = 10_000;
  let reads = 0;
  const look = (): number =>
    depths.of("ready 1", () => {
      reads += 1;
      return size;
    });
  assert.equal(look(), 10_000);
  size = 200_000;
  assert.equal(look(), 200_000, "what was small is read again at once");
  size = 1;
  await environment.advance(199);
  assert.equal(look(), 200_000);
  await environment.advance(1);
  assert.equal(look(), 1);
  size = 1_000_000_000;
  look();
  const before = reads;
  await environment.advance(9_999);
  look();
  assert.equal(reads, before);
  await environment.advance(1);
  look();
  assert.equal(reads, before + 1);
});

test("health polled over a large backlog does not count it each time", async (context) => {
  const directory = folder(context);
  const environment = fakeEnvironment();
  const transport = await open(context, directory, { environment });
  await transport.declare(topology({ queues: [{ name: "orders" }] }));
  const waiting = async (): Promise<number | undefined> =>
    (await transport.inspection.addresses())[0]?.ready;
  const rival = new DatabaseSync(join(directory, "waybill.db"));
  context.after(() => rival.close());
  rival.exec(
    "insert into ready(address, seq, attempt, bytes) select 1, value, 0, 0 from (with recursive n(value) as (select 1000 union all select value + 1 from n limit 20000) select value from n)",
  );
  assert.equal(await waiting(), 20_000);
  rival.exec("delete from ready where seq > 1009");
  assert.equal(await waiting(), 20_000, "kept");
  await environment.advance(20);
  assert.equal(await waiting(), 10);
  rival.exec("delete from ready");
  assert.equal(await waiting(), 0, "exact");
});
