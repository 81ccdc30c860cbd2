import assert from "node:assert/strict";
import { test } from "node:test";
import { fakeEnvironment } from "@waybill/testkit";
import type { Log } from "./log.ts";
import type { Stored } from "./message.ts";
import type { Publisher } from "./publisher.ts";
import { Registry } from "./registry.ts";
import { Names } from "./topology.ts";

function registryOf(written: readonly (readonly [key: string, value: string])[]): Registry {
  const log: Pick<Log, "read"> = {
    read: (topic, partition, { each }) => {
      for (const [index, [key, value]] of written.entries()) {
        const place = { topic, partition, offset: BigInt(index), timestampMs: 0, headers: [] };
        const record: Stored = { ...place, key: Buffer.from(key), value: Buffer.from(value) };
        each(record);
      }
      return Promise.resolve(BigInt(written.length));
    },
  };
  return new Registry({
    names: new Names("test"),
    log: log as Log,
    publisher: {} as Publisher,
    clock: fakeEnvironment().clock,
  });
}

const subscription = JSON.stringify({ topic: "placed", name: "billing", types: ["placed"], at: 1 });

test("nonsense in the registry is nobody's subscription, and nobody stumbles over it", async () => {
  const registry = registryOf([
    ["subscription placed/other", "{}"],
    ["subscription placed/another", '{"topic":"placed","name":"another","types":"placed","at":1}'],
    ["subscription placed/third", '["placed"]'],
    ["queue reply", '{"name":"reply","partition":-1,"endsWith":"x","at":1}'],
    ["queue answers", '{"name":"answers","partition":3,"endsWith":"x","at":1}'],
    ["", "null"],
    ["subscription placed/billing", subscription],
    ["subscription gone/billing", subscription],
    ["subscription gone/billing", "{"],
  ]);
  assert.equal(await registry.isTaken("placed", "placed"), true);
  assert.equal(await registry.isTaken("placed", "shipped"), false);
  assert.equal(await registry.takes("placed", "another", "placed"), false);
  assert.deepEqual(
    registry.subscriptions().map(({ name }) => name),
    ["billing"],
  );
  assert.deepEqual(
    registry.temporaryQueues().map(({ name }) => name),
    ["answers"],
  );
});
