import {
  type Discrepancy,
  type Environment,
  WaybillError,
  refuseDiscrepancies,
  sleep,
} from "@waybill/core";
import type { KafkaClient, TopicInfo } from "./client.ts";
import { isApi } from "./errors.ts";
import type { Settings } from "./options.ts";

export interface TopicParts {
  readonly client: KafkaClient;
  readonly settings: Settings;
  readonly environment: Environment;
  /** Whether anything may be created that does not end with this process. */
  readonly mayCreate: boolean;
}

/** How long Kafka keeps what lies in a topic. `handled`: until its receivers delete it. `latest`: the newest record of every key. */
export type Keeping = "handled" | "latest" | { readonly ageMs: number; readonly bytes?: number };

export interface WantedTopic {
  readonly name: string;
  /** Whose it is, as `addressOf` writes it. Absent: of the whole system. */
  readonly address?: string | undefined;
  readonly partitions: number;
  readonly keeping: Keeping;
  /** It ends with this process. */
  readonly temporary?: boolean;
}

const readyMsMax = 15_000;
const pollMs = 20;

/** Creates what is missing, keeps what is there, and waits until every partition has a leader. Answers how many were created. Throws WIRING_INVALID where it may not. */
export async function ensureTopics(
  parts: TopicParts,
  wanted: readonly WantedTopic[],
): Promise<number> {
  const missing: WantedTopic[] = [];
  for (const each of wanted)
    if ((await parts.client.topic(each.name)) === undefined) missing.push(each);
  const refused = parts.mayCreate ? [] : missing.filter(({ temporary }) => temporary !== true);
  refuseDiscrepancies("kafka", refused.map(missingTopic));
  const byConfig = new Map<string, WantedTopic[]>();
  for (const each of missing) {
    const kind = JSON.stringify(each.keeping);
    byConfig.set(kind, [...(byConfig.get(kind) ?? []), each]);
  }
  for (const [, [first, ...more]] of byConfig)
    if (first !== undefined) await create(parts, [first, ...more], first.keeping);
  for (const { name } of missing) await becomesReady(parts, name);
  return missing.length;
}

export async function deleteTopics(
  { client }: Pick<TopicParts, "client">,
  names: readonly string[],
): Promise<void> {
  for (const name of names)
    await client.admin.deleteTopics({ topics: [name] }).catch(() => undefined);
}

async function create(
  { client, settings }: Pick<TopicParts, "client" | "settings">,
  topics: readonly WantedTopic[],
  keeping: Keeping,
): Promise<void> {
  const { replicas } = settings;
  try {
    await client.admin.createTopics({
      topics: topics.map(({ name, partitions }) => ({
        topic: name,
        partitions,
        ...(replicas !== undefined && { replicas }),
      })),
      configs: configOf(keeping),
    });
  } catch (thrown) {
    // Somebody was faster.
    if (!isApi(thrown, "TOPIC_ALREADY_EXISTS")) throw thrown;
  }
}

type NamedTopic = Pick<WantedTopic, "name" | "address">;

/** That it is not there. */
export function missingTopic({ name, address = name }: NamedTopic): Discrepancy {
  const message = `The topic "${name}" is missing. Create it from the definitions.`;
  return { address, fault: "missing", message };
}

/** As Kafka has it. */
export function configOf(keeping: Keeping): { name: string; value: string }[] {
  if (keeping === "latest") return [{ name: "cleanup.policy", value: "compact" }];
  const { ageMs, bytes = -1 } = keeping === "handled" ? { ageMs: -1 } : keeping;
  return [
    { name: "cleanup.policy", value: "delete" },
    { name: "retention.ms", value: String(ageMs) },
    { name: "retention.bytes", value: String(bytes) },
  ];
}

async function becomesReady({ client, environment }: TopicParts, name: string): Promise<void> {
  const giveUpAt = environment.clock.monotonic() + readyMsMax;
  for (;;) {
    const topic = await client.topic(name, true);
    if (topic !== undefined && (await isLed(client, topic))) return;
    if (environment.clock.monotonic() > giveUpAt)
      throw new WaybillError(
        "TRANSPORT_FAILED",
        `The topic "${name}" was created, and has no leader after ${readyMsMax} ms. Look at the brokers.`,
        { retryable: true },
      );
    await sleep(environment.timers, pollMs);
  }
}

/** The cluster says who leads before that broker knows. */
async function isLed({ admin }: KafkaClient, { name, leaders }: TopicInfo): Promise<boolean> {
  if (leaders.some((leader) => leader === undefined)) return false;
  const partitions = leaders.map((_, partitionIndex) => ({ partitionIndex, timestamp: -1n }));
  return admin.listOffsets({ topics: [{ name, partitions }] }).then(
    () => true,
    () => false,
  );
}
