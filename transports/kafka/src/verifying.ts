import { type Discrepancy, type Topology, refuseDiscrepancies } from "@waybill/core";
import type { KafkaClient } from "./client.ts";
import { isApi } from "./errors.ts";
import type { Settings } from "./options.ts";
import { type PlannedTopic, planOf } from "./plan.ts";
import { missingTopic } from "./topics.ts";
import type { Names } from "./topology.ts";

export interface VerifyParts {
  readonly client: KafkaClient;
  readonly names: Names;
  readonly settings: Settings;
}

const topicResource = 2 as const;

/** Throws WIRING_INVALID with every topic of a topology that is missing or otherwise. Settings that this user may not see are taken for right. */
export async function verify(topology: Topology, parts: VerifyParts): Promise<void> {
  const { client, names, settings } = parts;
  const plan = planOf(topology, names, settings);
  const found: Discrepancy[] = [];
  const there: PlannedTopic[] = [];
  for (const wanted of plan) {
    const topic = await client.topic(wanted.name, true);
    if (topic === undefined) found.push(missingTopic(wanted));
    else {
      there.push(wanted);
      found.push(...countFaults(wanted, topic.leaders.length));
    }
  }
  found.push(...(await settingFaults(client, there)));
  refuseDiscrepancies("kafka", found);
}

function countFaults(
  { partitions, isExact, ...topic }: PlannedTopic,
  own: number,
): readonly Discrepancy[] {
  if (!isExact || own === partitions) return [];
  return [different(topic, `has ${own} partitions and must have ${partitions}`)];
}

async function settingFaults(
  { admin }: KafkaClient,
  topics: readonly PlannedTopic[],
): Promise<readonly Discrepancy[]> {
  if (topics.length === 0) return [];
  const resources = topics.map(({ name, musts }) => ({
    resourceType: topicResource,
    resourceName: name,
    configurationKeys: [...musts],
  }));
  const described = await admin.describeConfigs({ resources }).catch((error: unknown) => {
    if (isApi(error, "TOPIC_AUTHORIZATION_FAILED")) return [];
    throw error;
  });
  return described.flatMap(({ resourceName, configs }) => {
    const wanted = topics.find(({ name }) => name === resourceName);
    if (wanted === undefined) return [];
    const own = new Map(configs.map(({ name, value }) => [name, value]));
    return wanted.musts.flatMap((setting) => {
      const [is, must] = [own.get(setting) ?? undefined, wanted.configs.get(setting)];
      if (is === undefined || is === must) return [];
      return [different(wanted, `has ${setting}=${is} and must have ${must}`)];
    });
  });
}

function different(
  { name, address = name }: Pick<PlannedTopic, "name" | "address">,
  fault: string,
): Discrepancy {
  return { address, fault: "different", message: `The topic "${name}" ${fault}. Change it.` };
}
