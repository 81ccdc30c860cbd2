import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { test } from "node:test";
import { fakeEnvironment } from "@waybill/testkit";
import type { Channel, ConsumeMessage } from "amqplib";
import { rangesOf } from "./range.ts";

const witness = "readings.groups";

/** A server that counts late, and shows what its streams hold so many milliseconds after it was asked. */
function slowServer(held: Readonly<Record<string, readonly number[]>>, slowMs: number) {
  const environment = fakeEnvironment();
  const asked: string[] = [];
  const open = () =>
    Object.assign(new EventEmitter(), {
      prefetch: () => Promise.resolve({}),
      checkQueue: () => Promise.resolve({ messageCount: 0 }),
      consume: (queue: string, take: (message: ConsumeMessage) => void) => {
        asked.push(queue);
        environment.timers.set(() => {
          for (const offset of held[queue] ?? []) take(itemAt(offset));
        }, slowMs);
        return Promise.resolve({ consumerTag: queue });
      },
    }) as unknown as Channel;
  const channel = <Result>(work: (channel: Channel) => Promise<Result>): Promise<Result> =>
    work(open());
  return { parts: { environment, channel, witness }, environment, asked };
}

function itemAt(offset: number): ConsumeMessage {
  const properties = { headers: { "x-stream-offset": offset } };
  return { fields: {}, properties, content: Buffer.from("") } as unknown as ConsumeMessage;
}

test("a partition that a slow server has not shown yet is not taken for an empty one", async () => {
  const { parts, environment } = slowServer({ one: [7], [witness]: [0] }, 5_000);
  const ranges = rangesOf(parts, ["one"]);
  await environment.advance(20_000);
  assert.deepEqual(await ranges, [{ oldest: 7, end: 8 }]);
});

test("a partition is empty when what was asked for after it has come", async () => {
  const { parts, environment, asked } = slowServer({ one: [], [witness]: [0] }, 5_000);
  const ranges = rangesOf(parts, ["one"]);
  await environment.advance(20_000);
  assert.deepEqual(await ranges, [{ oldest: 0, end: 0 }]);
  assert.deepEqual(asked, ["one", witness]);
  assert.equal(environment.pendingTimers, 0);
});

test("of a server that shows nothing at all nothing is said", async () => {
  const { parts, environment } = slowServer({}, 0);
  const refused = assert.rejects(rangesOf(parts, ["one"]), {
    code: "TRANSPORT_FAILED",
    retryable: true,
  });
  await environment.advance(60_000);
  await refused;
  assert.equal(environment.pendingTimers, 0);
});
