import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { decode, encode } from "./codec.ts";
import { folder, open, probe, toQueue, topology, until } from "../fixture.test.support.ts";

const { header: intact } = encode(toQueue("orders", "a body"), 1_000);

test("any bit of a stored message that turns is noticed", () => {
  const header = intact;
  assert.equal(decode(header, "a body").body, "a body");
  const text = Buffer.from(header);
  for (let bit = 0; bit < text.length * 8; bit++) {
    const damaged = Buffer.from(text);
    damaged[bit >> 3] = (damaged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
    assert.ok(isNoticedOrHarmless(damaged.toString("latin1")), `bit ${bit}`);
  }
  assert.throws(() => decode(header, "a bodY"), { code: "STORAGE_INVALID" });
  assert.throws(() => decode(header, Buffer.from("a body")), { code: "STORAGE_INVALID" });
});

/** A bit of the seal's own brackets changes nothing of the message. */
function isNoticedOrHarmless(header: string): boolean {
  try {
    assert.deepEqual(decode(header, "a body"), decode(intact, "a body"));
    return true;
  } catch (error) {
    return (error as { code?: string }).code === "STORAGE_INVALID";
  }
}

test("SQL can look into a stored header, and headers of older files have no seal", () => {
  const { header } = encode(toQueue("orders", "a body"), 1_000);
  const db = new DatabaseSync(":memory:");
  const row = db.prepare("select json_extract(?, '$.type') as type").get(header);
  assert.equal(row?.["type"], "test.message");
  db.close();
  const { "~": seal, ...old } = JSON.parse(header) as Record<string, string>;
  assert.match(seal ?? "", /^[0-9a-f]{8}$/);
  assert.deepEqual(decode(JSON.stringify(old), "a body").header, old);
});

test("a file in which a message stands nowhere is refused by name and left untouched", async (context) => {
  const directory = folder(context);
  const transport = await open(context, directory);
  await transport.declare(topology({ queues: [{ name: "orders" }] }));
  await transport.send([toQueue("orders", "one")]);
  await transport[Symbol.asyncDispose]();
  const file = join(directory, "waybill.db");
  const db = new DatabaseSync(file);
  db.exec("delete from ready");
  db.close();
  const before = readFileSync(file);
  await assert.rejects(open(context, directory), { code: "STORAGE_INVALID" });
  assert.deepEqual(readFileSync(file), before);
});

test("a message that was damaged while the broker runs is not delivered: the receiver is told STORAGE_INVALID", async (context) => {
  const directory = folder(context);
  const transport = await open(context, directory);
  await transport.declare(topology({ queues: [{ name: "orders" }] }));
  await transport.send([toQueue("orders", "pay 100")]);
  const db = new DatabaseSync(join(directory, "waybill.db"));
  db.exec("update message set body = 'pay 900'");
  db.close();
  const { deliveries, faults } = probe(transport, { kind: "queue", name: "orders" });
  await until("the fault", () => faults.length > 0);
  assert.equal(faults[0]?.code, "STORAGE_INVALID");
  assert.equal(deliveries.length, 0);
});
