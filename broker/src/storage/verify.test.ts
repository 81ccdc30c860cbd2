import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { decode, encode } from "./codec.ts";
import { folder, message, open, probe, toQueue, topology, until } from "../fixture.test.support.ts";

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

for (const key of [undefined, "a customer"]) {
  const where = key === undefined ? "a queue" : "a session";
  test(`a message of ${where} that was damaged while the broker runs is not delivered, the receiver is told STORAGE_INVALID, and when it is mended it comes as the first attempt`, async (context) => {
    const directory = folder(context);
    const transport = await open(context, directory);
    await transport.declare(topology({ queues: [{ name: "orders", sessions: true }] }));
    const to = { kind: "queue", name: "orders" } as const;
    const keyed = key === undefined ? {} : { key };
    await transport.send(["pay 1", "pay 2", "pay 3"].map((body) => message(to, body, keyed)));
    const write = (before: string, after: string): void => {
      const db = new DatabaseSync(join(directory, "waybill.db"));
      db.prepare("update message set body = ? where body = ?").run(after, before);
      db.close();
    };
    write("pay 1", "pay 9");
    const { deliveries, faults } = probe(transport, to, {
      onDelivery: (delivery) => void delivery.settle({ kind: "complete" }),
    });
    await until("two faults", () => faults.length > 1);
    assert.ok(faults.every(({ code }) => code === "STORAGE_INVALID"));
    assert.equal(deliveries.length, 0);
    write("pay 9", "pay 1");
    await until("all", () => deliveries.length === 3);
    assert.deepEqual(
      deliveries.map(({ envelope, attempt }) => [envelope.body, attempt]),
      [
        ["pay 1", 1],
        ["pay 2", 1],
        ["pay 3", 1],
      ],
    );
  });
}
