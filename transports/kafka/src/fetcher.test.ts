import assert from "node:assert/strict";
import { test } from "node:test";
import type { RecordsBatch } from "@platformatic/kafka";
import { fakeEnvironment } from "@waybill/testkit";
import type { KafkaClient } from "./client.ts";
import { Fetcher } from "./fetcher.ts";
import { beginning } from "./progress.ts";
import { Window } from "./window.ts";

const leader = { host: "broker", port: 9092 };
const end = 1_000n;
/** Offsets that one answer brings. */
const page = 10;

type Asked = readonly { partitions: readonly { partition: number; fetchOffset: bigint }[] }[];

/** A broker that has much of every partition, and answers for one that is read to its end only when something comes to it. */
function clientOf(answersAt: (partition: number) => boolean): KafkaClient {
  const client = {
    topic: (name: string) => Promise.resolve({ name, id: name, leaders: [leader, leader] }),
    forget: () => undefined,
    askVersioned: (_: unknown, __: string, args: (version: number) => readonly unknown[]) => {
      const topics = args(12)[6] as Asked;
      const partitions = topics.flatMap((topic) => topic.partitions);
      if (!partitions.every(({ partition }) => answersAt(partition)))
        return new Promise(() => undefined);
      return Promise.resolve({
        responses: [
          {
            topicId: "t",
            partitions: partitions.map(({ partition, fetchOffset }) => ({
              partitionIndex: partition,
              errorCode: 0,
              lastStableOffset: end,
              records: [batchAt(fetchOffset)],
            })),
          },
        ],
      });
    },
  };
  return client as unknown as KafkaClient;
}

function batchAt(firstOffset: bigint): RecordsBatch {
  const records = Array.from({ length: page }, (_, offsetDelta) => {
    const stamped = { offsetDelta, timestampDelta: 0n, key: null, headers: [] };
    return { ...stamped, value: Buffer.from("x") };
  });
  const batch = { firstOffset, lastOffsetDelta: page - 1, attributes: 0, records };
  return { ...batch, firstTimestamp: 0n, maxTimestamp: 0n } as unknown as RecordsBatch;
}

test("a partition of which more is there is read on while a quiet one is waited for", async () => {
  const environment = fakeEnvironment();
  const [full, quiet] = [
    new Window("t:0", beginning(0)),
    new Window("t:1", beginning(Number(end))),
  ];
  quiet.isCaughtUp = true;
  const client = clientOf((partition) => partition === 0);
  const faults: unknown[] = [];
  const fetcher = new Fetcher({
    clients: { reading: client, waiting: client },
    environment,
    options: { prefetch: 25, prefetchBytes: 1_000_000, lockMs: 1_000 },
    windows: () => [full, quiet],
    look: () => Promise.resolve(),
    came: () => undefined,
    fault: (error) => void faults.push(error),
  });
  fetcher.wake();
  await environment.drain();
  assert.equal(full.waiting, 30);
  while (full.waiting > 0) full.take();
  fetcher.wake();
  await environment.drain();
  assert.equal(full.waiting, 30);
  assert.deepEqual(faults, []);
  fetcher.end();
});
