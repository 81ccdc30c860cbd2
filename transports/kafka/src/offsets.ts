import type { Broker } from "@platformatic/kafka";
import { type Partition, type PartitionKey, byTopic, keyOf, partitionOf } from "./assignment.ts";
import type { KafkaClient, TopicInfo } from "./client.ts";
import { isStale } from "./codes.ts";
import { type Progress, readProgress } from "./progress.ts";

/** Of a partition: where it begins, ends, or reaches a moment. */
export const earliest = -2n;
export const latest = -1n;
/** Records of transactions that are not committed are not there yet. */
export const readCommitted = 1;
const plainConsumer = -1;

/** Asks the broker that keeps a group. */
export type AskGroup = <Answer>(name: string, ...args: readonly unknown[]) => Promise<Answer>;

/** A place in a partition, as a group keeps it. */
export interface Commit {
  readonly key: PartitionKey;
  readonly offset: number;
  readonly metadata: string;
}

interface Wanted {
  readonly at: bigint;
  readonly partitions: readonly number[];
}

/** The offset in each partition; of a moment in milliseconds that of the first record taken in then or later, -1 where there is none. */
export async function listOffsets(
  client: KafkaClient,
  name: string,
  wanted: Wanted,
): Promise<Map<number, number>> {
  for (let isInDoubt = false; ; isInDoubt = true) {
    try {
      const topic = await client.topic(name, isInDoubt);
      if (topic === undefined) throw new Error(`there is no topic "${name}"`);
      return await askOffsets(client, topic, wanted);
    } catch (error) {
      if (isInDoubt || !isStale(error)) throw error;
    }
  }
}

async function askOffsets(
  client: KafkaClient,
  { name, leaders }: TopicInfo,
  { at, partitions }: Wanted,
): Promise<Map<number, number>> {
  const led = new Map<Broker, number[]>();
  for (const partition of partitions) {
    const leader = leaders[partition];
    if (leader === undefined) throw noLeader({ topic: name, partition });
    led.set(leader, [...(led.get(leader) ?? []), partition]);
  }
  const asked = [...led].map(([broker, ofBroker]) => {
    const wanted = ofBroker.map((partitionIndex) => ({
      partitionIndex,
      currentLeaderEpoch: -1,
      timestamp: at,
    }));
    const topics = [{ name, partitions: wanted }];
    return client.ask<ListOffsetsAnswer>(
      broker,
      "ListOffsets",
      plainConsumer,
      readCommitted,
      topics,
    );
  });
  const found = new Map<number, number>();
  for (const { topics } of await Promise.all(asked))
    for (const { partitions: answered } of topics)
      for (const { partitionIndex, offset } of answered) found.set(partitionIndex, Number(offset));
  return found;
}

/** How far a group has come; without the partitions in which it never committed. */
export async function committed(
  ask: AskGroup,
  group: string,
  keys: readonly PartitionKey[],
): Promise<Map<PartitionKey, Progress>> {
  const topics = byTopic(keys).map(({ topic: name, partitions: partitionIndexes }) => ({
    name,
    partitionIndexes,
  }));
  const groups = [{ groupId: group, memberId: null, memberEpoch: -1, topics }];
  // What a transaction that is not over commits is waited for.
  const answer = await ask<OffsetFetchAnswer>("OffsetFetch", groups, true);
  const found = new Map<PartitionKey, Progress>();
  for (const { name: topic, partitions } of answer.groups.flatMap((each) => each.topics))
    for (const { partitionIndex: partition, committedOffset, metadata } of partitions)
      if (committedOffset >= 0n)
        found.set(keyOf({ topic, partition }), readProgress(Number(committedOffset), metadata));
  return found;
}

/** Partitions by topic, as a request to commit has them. */
export function commitTopics(commits: readonly Commit[]): readonly object[] {
  return [...Map.groupBy(commits, ({ key }) => partitionOf(key).topic)].map(([name, ofTopic]) => ({
    name,
    partitions: ofTopic.map(({ key, offset, metadata }) => ({
      partitionIndex: partitionOf(key).partition,
      committedOffset: BigInt(offset),
      committedLeaderEpoch: -1,
      committedMetadata: metadata,
    })),
  }));
}

export function noLeader({ topic, partition }: Partition): Error {
  return new Error(`no broker leads partition ${partition} of the topic "${topic}" now`);
}

interface ListOffsetsAnswer {
  readonly topics: readonly {
    readonly partitions: readonly { readonly partitionIndex: number; readonly offset: bigint }[];
  }[];
}

interface OffsetFetchAnswer {
  readonly groups: readonly {
    readonly topics: readonly {
      readonly name: string;
      readonly partitions: readonly {
        readonly partitionIndex: number;
        /** -1n: none. */
        readonly committedOffset: bigint;
        readonly metadata: string | null;
      }[];
    }[];
  }[];
}
