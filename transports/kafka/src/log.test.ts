import assert from "node:assert/strict";
import { test } from "node:test";
import { ProtocolError } from "@platformatic/kafka";
import { fakeEnvironment } from "@waybill/testkit";
import type { KafkaClient } from "./client.ts";
import { Log } from "./log.ts";

const leader = { host: "broker", port: 9092 };
const notLeader = "NOT_LEADER_OR_FOLLOWER";
const notLeaderCode = 6;

/** A broker that knows of a partition which it does not lead yet, as often as it is asked until `refusals` are over. */
function youngBroker(refusals: number): KafkaClient {
  const left = { ask: refusals, fetch: refusals };
  const record = { offsetDelta: 0, timestampDelta: 0n, key: null, headers: [] };
  const batch = { firstOffset: 0n, lastOffsetDelta: 0, attributes: 0, maxTimestamp: 0n };
  const records = [
    { ...batch, firstTimestamp: 0n, records: [{ ...record, value: Buffer.from("x") }] },
  ];
  const client = {
    topic: (name: string) => Promise.resolve({ name, id: name, leaders: [leader] }),
    forget: () => undefined,
    ask: async (_broker: unknown, _name: string, ...args: readonly unknown[]) => {
      if (left.ask-- > 0) throw new ProtocolError(notLeader);
      const [asked] = args[2] as readonly { partitions: readonly { timestamp: bigint }[] }[];
      const offset = asked?.partitions[0]?.timestamp === -1n ? 1n : 0n;
      return { topics: [{ partitions: [{ partitionIndex: 0, offset }] }] };
    },
    askVersioned: async () => {
      const refused = left.fetch-- > 0;
      const answer = refused ? { errorCode: notLeaderCode } : { errorCode: 0, records };
      const partitions = [{ partitionIndex: 0, lastStableOffset: 1n, ...answer }];
      return { responses: [{ topicId: "t", partitions }] };
    },
  };
  return client as unknown as KafkaClient;
}

test("a partition whose leader is not ready is looked at again, and what lies there is found", async () => {
  const environment = fakeEnvironment();
  const log = new Log({ client: youngBroker(6), environment });
  const look = async (): Promise<unknown> => {
    const ends = await log.ends("t");
    const read: string[] = [];
    const each = ({ value }: { value: Buffer | null }): void => void read.push(String(value));
    await log.read("t", 0, { from: 0n, each });
    return { ends, read };
  };
  const looked = look();
  await environment.advance(4_000);
  assert.deepEqual(await looked, { ends: [{ first: 0n, next: 1n }], read: ["x"] });
  const found = new Log({ client: youngBroker(6), environment }).at("t", 0, 0n);
  await environment.advance(4_000);
  assert.equal(String((await found)?.value), "x");
});

test("who looks is told when it stays without one", async () => {
  const environment = fakeEnvironment();
  const log = new Log({ client: youngBroker(Infinity), environment });
  for (const look of [() => log.ends("t"), () => log.at("t", 0, 0n)]) {
    const refused = assert.rejects(look, { code: "TRANSPORT_FAILED", retryable: true });
    await environment.advance(6_000);
    await refused;
  }
});
