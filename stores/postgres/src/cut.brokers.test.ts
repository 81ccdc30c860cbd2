import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { type Schema, command, event } from "@waybill/contracts";
import { connect, memory, service, systemEnvironment } from "@waybill/core";
import { type TcpDirection, TcpFaultProxy } from "@waybill/testkit";
import { port, subject } from "./subject.fixture.ts";

const silent = { debug() {}, info() {}, warn() {}, error() {} };
const text: Schema<string> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as string }) },
};
const Work = command("cut.work", { input: text });
const Done = event("cut.done", { payload: text });

for (const [direction, isStored] of [
  ["toClient", true],
  ["toServer", false],
] as const)
  test(`a line that breaks ${direction} at COMMIT leaves it unknown, and the inbox knows: ${isStored ? "stored" : "not stored"}`, async () => {
    await using proxy = await TcpFaultProxy.listen({ port });
    const database = await subject({ through: proxy.port });
    const store = await database.factory().open({
      environment: systemEnvironment,
      logger: silent,
      committed: () => undefined,
    });
    try {
      const cut = store.transaction(async (transaction) => {
        await transaction.claim("orders", "m-1");
        await database.write(transaction.client, "a");
        // The next bytes are COMMIT, or its answer.
        proxy.resetAfter(1, direction);
      });
      await assert.rejects(cut, { code: "COMMIT_UNKNOWN", retryable: true });
      const isNew = await store.transaction((transaction) => transaction.claim("orders", "m-1"));
      assert.equal(isNew, !isStored);
      assert.deepEqual(await database.written(), isStored ? ["a"] : []);
    } finally {
      await store[Symbol.asyncDispose]();
      await database.close();
    }
  });

test("over a line that breaks at every other commit each message has its effect once and leaves", async () => {
  await using proxy = await TcpFaultProxy.listen({ port });
  const database = await subject({ through: proxy.port, connectionsMax: 2 });
  const store = database.factory();
  const arrived = new Set<string>();
  let cuts = 0;
  const working = service("working", { publishes: [Done], store }).handle(
    Work,
    async (name, { transaction, publish }) => {
      await database.write(transaction, name);
      await publish(Done, name);
      cuts += 1;
      if (cuts > 16) return;
      const direction: TcpDirection = cuts % 2 === 0 ? "toClient" : "toServer";
      // In the middle of INSERT, COMMIT or an answer, wherever that is.
      proxy.resetAfter(cuts * 17, direction);
    },
  );
  const watching = service("watching").on(Done, (name) => void arrived.add(name));
  const bus = await connect({
    transport: memory(),
    services: [working, watching],
    logger: silent,
    handlers: { retry: { attempts: 50, delayMs: 2, factor: 1 } },
  });
  try {
    const names = Array.from({ length: 40 }, (_, index) => `n-${10 + index}`);
    for (const name of names) await bus.send(Work, name);
    const until = systemEnvironment.clock.monotonic() + 60_000;
    while (arrived.size < names.length && systemEnvironment.clock.monotonic() < until)
      await pause(5);
    assert.deepEqual([...arrived].toSorted(), names);
    assert.deepEqual(await database.written(), names);
    assert.ok(cuts > 16);
    assert.deepEqual(await bus.deadLetters.list(), []);
  } finally {
    await bus.close();
    await database.close();
  }
});
