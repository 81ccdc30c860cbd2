import {
  type Broker,
  IS_CONTROL,
  IS_TRANSACTIONAL,
  type RecordsBatch,
  ResponseError,
  type fetchV17,
  protocolErrorsCodesById,
} from "@platformatic/kafka";
import type { Partition } from "./assignment.ts";
import type { KafkaClient, TopicInfo } from "./client.ts";
import type { Stored } from "./message.ts";
import { readCommitted } from "./offsets.ts";

type FetchResponse = fetchV17.FetchResponse;
type FetchedPartition = Pick<
  FetchResponse["responses"][number]["partitions"][number],
  "records" | "abortedTransactions"
>;

/** From where on a partition is read. */
export interface Wanted {
  readonly topic: TopicInfo;
  readonly partition: number;
  readonly offset: bigint;
}

export interface FetchLimits {
  /** How long the broker waits for something to come. */
  readonly waitMs: number;
  /** Of one partition; one batch always comes whole. */
  readonly partitionBytes: number;
}

/** What a broker said of one partition. */
export interface Fetched extends Partition {
  /** `NONE`, or why nothing came. */
  readonly error: string;
  readonly records: readonly Stored[];
  /** Where to read on: behind the last record, and behind marks that nobody is shown. */
  readonly next: bigint;
  /** Where there is nothing more to read now. */
  readonly end: bigint;
}

const bytesMax = 50 * 1024 * 1024;
/** The newest version that names topics instead of giving their ids. */
const namingVersion = 12;
const noSession = [0, -1] as const;
const isBrokersTime = 1 << 3;

/** Reads on at those partitions, all of which that broker leads. Rejects when it does not answer. */
export async function fetchFrom(
  client: KafkaClient,
  leader: Broker,
  { wanted, limits }: { readonly wanted: readonly Wanted[]; readonly limits: FetchLimits },
): Promise<readonly Fetched[]> {
  const names = new Map<string, string>();
  for (const { topic } of wanted) names.set(topic.id, topic.name).set(topic.name, topic.name);
  const response = await client
    .askVersioned<FetchResponse>(leader, "Fetch", (version) => [
      limits.waitMs,
      1,
      bytesMax,
      readCommitted,
      ...noSession,
      wanted.map(({ topic, partition, offset }) => ({
        topicId: version <= namingVersion ? topic.name : topic.id,
        partitions: [
          {
            partition,
            currentLeaderEpoch: -1,
            fetchOffset: offset,
            lastFetchedEpoch: -1,
            partitionMaxBytes: limits.partitionBytes,
          },
        ],
      })),
      [],
      "",
    ])
    .catch(responseOf);
  return response.responses.flatMap(({ topicId, partitions }) => {
    const topic = names.get(topicId);
    if (topic === undefined) return [];
    return partitions.map((answered) => {
      const { partitionIndex: partition, errorCode, lastStableOffset } = answered;
      const { offset = 0n } =
        wanted.find((each) => each.topic.name === topic && each.partition === partition) ?? {};
      return {
        topic,
        partition,
        error: protocolErrorsCodesById[errorCode] ?? "UNKNOWN_SERVER_ERROR",
        end: lastStableOffset,
        ...pageOf(answered, { topic, partition }, offset),
      };
    });
  });
}

/** Refusals of single partitions are part of an answer. */
function responseOf(thrown: unknown): FetchResponse {
  const response =
    thrown instanceof ResponseError
      ? (thrown["response"] as Partial<FetchResponse> | undefined)
      : undefined;
  if (response?.responses === undefined || response.errorCode !== 0) throw thrown;
  return response as FetchResponse;
}

/** The records of an answer from an offset on, without those of transactions that were given up. */
export function pageOf(
  { records, abortedTransactions }: FetchedPartition,
  place: Partition,
  from: bigint,
): { readonly records: readonly Stored[]; readonly next: bigint } {
  const stored: Stored[] = [];
  const aborted = (abortedTransactions ?? []).toSorted((one, other) =>
    Number(one.firstOffset - other.firstOffset),
  );
  const givenUp = new Set<bigint>();
  let next = from;
  for (const batch of records ?? []) {
    const last = batch.firstOffset + BigInt(batch.lastOffsetDelta);
    for (; aborted[0] !== undefined && aborted[0].firstOffset <= last; aborted.shift())
      givenUp.add(aborted[0].producerId);
    next = last < next ? next : last + 1n;
    if ((batch.attributes & IS_CONTROL) !== 0) givenUp.delete(batch.producerId);
    else if ((batch.attributes & IS_TRANSACTIONAL) === 0 || !givenUp.has(batch.producerId))
      stored.push(...recordsOf(batch, place, from));
  }
  return { records: stored, next };
}

function recordsOf(batch: RecordsBatch, place: Partition, from: bigint): readonly Stored[] {
  const stored: Stored[] = [];
  const ofBatch = (batch.attributes & isBrokersTime) === 0 ? undefined : Number(batch.maxTimestamp);
  for (const { offsetDelta, timestampDelta, key, value, headers } of batch.records) {
    const offset = batch.firstOffset + BigInt(offsetDelta);
    // A batch comes whole, also when somebody reads on in its middle.
    if (offset < from) continue;
    const timestampMs = ofBatch ?? Number(batch.firstTimestamp + timestampDelta);
    stored.push({ ...place, offset, timestampMs, key, value, headers });
  }
  return stored;
}
