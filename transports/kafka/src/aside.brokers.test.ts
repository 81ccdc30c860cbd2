import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { systemEnvironment } from "@waybill/core";
import { Aside } from "./aside.ts";
import { KafkaClient } from "./client.ts";
import { Corner, message, port, until } from "./corner.test.support.ts";
import { Log } from "./log.ts";
import { settingsOf } from "./options.ts";
import { Publisher } from "./publisher.ts";
import { Registry } from "./registry.ts";

const environment = systemEnvironment;
const [count, bodyBytes, mebibyte] = [400, 100_000, 1024 * 1024];

/** Bytes that are reachable, buffers included. */
function reachable(): number {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
}

test("what is kept of what is set aside does not grow with its bodies, nor beyond its room", async () => {
  await using corner = new Corner();
  const settings = settingsOf({ url: `kafka://127.0.0.1:${port}`, prefix: corner.prefix });
  const { names } = corner;
  const client = new KafkaClient(settings, environment, { name: "test" });
  const log = new Log({ client, environment });
  const publisher = new Publisher({ settings, environment });
  const registry = new Registry({ names, log, publisher, clock: environment.clock });
  const parts = { client, settings, environment, mayCreate: true, names, log, publisher, registry };
  const wide = new Aside(parts);
  const narrow = new Aside({ ...parts, room: { messagesMax: 50, bytesMax: mebibyte } });
  try {
    const address = "orders";
    for (let first = 0; first < count; first += 50)
      await Promise.all(
        Array.from({ length: 50 }, (_, index) => {
          const { envelope } = message(String(first + index));
          const body = Buffer.alloc(bodyBytes, "x");
          const token = `t-${first + index}`;
          const extras = { failure: undefined };
          const laid = { address, state: "dead", token, extras } as const;
          return wide.lay({ ...laid, envelope: { ...envelope, body } });
        }),
      );
    const before = reachable();
    for (const aside of [wide, narrow]) {
      assert.equal(await aside.count(address, "dead"), count);
      const seen: string[] = [];
      for (;;) {
        const after = seen.at(-1);
        const page = await aside.list(address, "dead", { after, limit: 40 });
        if (page.length === 0) break;
        for (const { token, stored } of page) {
          assert.equal(Buffer.from(stored.envelope.body).byteLength, bodyBytes);
          seen.push(token);
        }
      }
      assert.deepEqual([seen.length, new Set(seen).size], [count, count]);
      assert.ok((await aside.find(`${address}|t-7`, "dead")) !== undefined);
    }
    // Buffers that nothing refers to are given back by a thread of their own, which a busy machine lets wait.
    await until(
      `no more than 4 MiB are kept of ${count * bodyBytes} bytes of bodies`,
      () => reachable() - before < 4 * mebibyte,
    );
    assert.equal(wide.kept.messages, count);
    assert.ok(narrow.kept.messages <= 50, `${narrow.kept.messages} are kept`);
    const found = await narrow.find(`${address}|t-399`, "dead");
    assert.ok(found !== undefined && (await narrow.remove(found)));
    assert.equal(await narrow.remove(found), false);
    assert.equal(await wide.find(`${address}|t-399`, "dead"), undefined);
    assert.equal(await narrow.purge(address, "dead"), count - 1);
    assert.equal(await wide.count(address, "dead"), 0);
    // What nobody looks at makes room for what somebody does.
    for (const other of ["one", "two", "three"]) {
      const { envelope } = message(other);
      const laid = {
        address: other,
        state: "dead",
        envelope,
        extras: { failure: undefined },
      } as const;
      for (let index = 0; index < 40; index++) await narrow.lay({ ...laid, token: `t-${index}` });
      assert.equal(await narrow.count(other, "dead"), 40);
      assert.ok(narrow.kept.messages <= 50, `${narrow.kept.messages} are kept`);
    }
  } finally {
    await publisher.close();
    await client.close();
  }
});
