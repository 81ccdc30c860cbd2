import { type StreamSpec, WaybillError } from "@waybill/core";
import { isApi } from "../errors.ts";
import { type TopicParts, ensureTopics } from "../topics.ts";

const topicResource = 2;
const setOperation = 0 as const;
/** A segment leaves as a whole, so that what is to leave soon lies in short ones. */
const segmentsPerAge = 4;
const segmentMsMin = 10_000;
const segmentMsMax = 7 * 24 * 60 * 60 * 1_000;

/** Makes the topic of a stream, or sets what may change of one that is there. Throws WIRING_INVALID for another count of partitions. */
export async function declareStream(
  parts: TopicParts,
  topic: string,
  { name, partitions, retention }: StreamSpec,
): Promise<void> {
  const { ageMs = -1, bytes = -1 } = retention;
  await ensureTopics(parts, [{ name: topic, partitions, keeping: { ageMs, bytes } }]);
  const found = (await parts.client.topic(topic, true))?.leaders.length ?? 0;
  if (found !== partitions)
    throw new WaybillError(
      "WIRING_INVALID",
      `The stream "${name}" has ${found} partitions on Kafka, and ${partitions} are declared. More would move keys between partitions and break their order, fewer are impossible: declare ${found}, or declare a stream of another name and move over.`,
      { details: { stream: name, partitions, found } },
    );
  await configure(parts, topic, streamConfigs({ ageMs, bytes }));
}

/** Settings of the topic of a stream. */
export function streamConfigs({
  ageMs = -1,
  bytes = -1,
}: StreamSpec["retention"]): ReadonlyMap<string, string> {
  const segmentMs = ageMs < 0 ? segmentMsMax : Math.floor(ageMs / segmentsPerAge);
  return new Map([
    ["cleanup.policy", "delete"],
    // When the broker took it, by one clock for all producers.
    ["message.timestamp.type", "LogAppendTime"],
    ["retention.ms", String(ageMs)],
    ["retention.bytes", String(bytes)],
    ["segment.ms", String(Math.min(segmentMsMax, Math.max(segmentMsMin, segmentMs)))],
  ]);
}

/** Sets what differs. Who may not look or set is let through: somebody else keeps the topics then. */
async function configure(
  { client: { admin } }: TopicParts,
  topic: string,
  wanted: ReadonlyMap<string, string>,
): Promise<void> {
  const resource = { resourceType: topicResource, resourceName: topic } as const;
  const names = [...wanted.keys()];
  try {
    const [described] = await admin.describeConfigs({
      resources: [{ ...resource, configurationKeys: names }],
    });
    const found = new Map(described?.configs.map(({ name, value }) => [name, value]));
    const changed = [...wanted].filter(([name, value]) => found.get(name) !== value);
    if (changed.length === 0) return;
    const configs = changed.map(([name, value]) => ({
      name,
      value,
      configOperation: setOperation,
    }));
    await admin.incrementalAlterConfigs({ resources: [{ ...resource, configs }] });
  } catch (error) {
    if (!isApi(error, "TOPIC_AUTHORIZATION_FAILED")) throw error;
  }
}
