import { type SubscriptionSpec, type Topology, WaybillError, addressOf } from "@waybill/core";
import type { Log } from "./log.ts";
import type { Settings } from "./options.ts";
import type { Registry } from "./registry.ts";
import type { Names } from "./topology.ts";
import { type TopicParts, type WantedTopic, ensureTopics } from "./topics.ts";

export interface DeclareParts extends TopicParts {
  readonly names: Names;
  readonly log: Log;
  readonly registry: Registry;
  readonly instance: string;
}

/** Creates what is missing, and keeps what is there. Temporary queues are not here: see `replies.ts`; nor streams. */
export async function declare(parts: DeclareParts, topology: Topology): Promise<void> {
  const { names, settings } = parts;
  await ensureTopics(parts, topicsOf(topology, names, settings));
  for (const subscription of topology.subscriptions) await subscribe(parts, subscription);
}

/** The topics of queues, topics and subscriptions. */
export function topicsOf(
  topology: Topology,
  names: Names,
  { partitions, retentionMs }: Pick<Settings, "partitions" | "retentionMs">,
): readonly WantedTopic[] {
  const wanted: WantedTopic[] = [];
  for (const { name, temporary = false } of topology.queues)
    if (!temporary)
      wanted.push({
        name: names.queueTopic(name),
        address: name,
        partitions,
        keeping: "handled",
      });
  for (const { name } of topology.topics)
    wanted.push({
      name: names.eventTopic(name),
      address: `${name}/`,
      partitions,
      keeping: { ageMs: retentionMs },
    });
  for (const { topic, name, temporary = false } of topology.subscriptions) {
    const { address, returns } = names.place({ kind: "subscription", topic, name });
    wanted.push({ name: returns, address, partitions, keeping: "handled", temporary });
  }
  return wanted;
}

/** Where it is noted who subscribes to what. */
export function registryTopic(names: Names): WantedTopic {
  return { name: names.registryTopic, partitions: 1, keeping: "latest" };
}

async function subscribe(parts: DeclareParts, subscription: SubscriptionSpec): Promise<void> {
  const { topic, name, accepts, temporary = false } = subscription;
  const { names, registry, client } = parts;
  if ((await client.topic(names.eventTopic(topic))) === undefined)
    throw new WaybillError(
      "WIRING_INVALID",
      `There is no topic "${topic}" to subscribe to. Declare it with the subscription.`,
    );
  await begin(parts, subscription);
  await registry.subscribe({
    topic,
    name,
    types: [...new Set(accepts.map(({ type }) => type))],
    endsWith: temporary ? parts.instance : undefined,
  });
}

/** A subscription gets what is published from now on, whether somebody reads or not. */
async function begin(
  { names, client, log }: DeclareParts,
  { topic, name }: SubscriptionSpec,
): Promise<void> {
  const groupId = names.group(addressOf({ kind: "subscription", topic, name }));
  const eventTopic = names.eventTopic(topic);
  const ends = (await log.ends(eventTopic)) ?? [];
  const partitionIndexes = ends.map((_, partition) => partition);
  const groups = [{ groupId, topics: [{ name: eventTopic, partitionIndexes }] }];
  const [group] = await client.admin.listConsumerGroupOffsets({ groups });
  const begun = new Set(
    group?.topics.flatMap(({ partitions }) =>
      partitions
        .filter(({ committedOffset }) => committedOffset >= 0n)
        .map(({ partitionIndex }) => partitionIndex),
    ),
  );
  const partitions = ends.flatMap(({ next }, partitionIndex) =>
    begun.has(partitionIndex)
      ? []
      : [
          {
            partitionIndex,
            committedOffset: next,
            committedLeaderEpoch: -1,
            committedMetadata: "",
          },
        ],
  );
  if (partitions.length === 0) return;
  const coordinator = await client.coordinator(groupId);
  const topics = [{ name: eventTopic, partitions }];
  await client.ask(coordinator, "OffsetCommit", groupId, noGeneration, "", null, topics);
}

const noGeneration = -1;
