import { type Topology, addressOf, permanentPart } from "@waybill/core";
import { type AsideState, asideStates } from "@waybill/core/adapter";
import { asideTopic } from "./aside.ts";
import { registryTopic, topicsOf } from "./declare.ts";
import { delaysTopic } from "./delays.ts";
import type { Settings } from "./options.ts";
import { repliesTopic } from "./replies.ts";
import { streamConfigs } from "./streams/declare.ts";
import { type WantedTopic, configOf } from "./topics.ts";
import type { Names } from "./topology.ts";

/** A topic as it has to be on the brokers. */
export interface PlannedTopic {
  readonly name: string;
  /** As of `WantedTopic`. */
  readonly address: string | undefined;
  readonly partitions: number;
  readonly configs: ReadonlyMap<string, string>;
  /** Of the settings, those on which it depends that nothing is lost or kept for ever; the rest is the operator's. */
  readonly musts: readonly string[];
  /** Whether another number of partitions will not do. */
  readonly isExact: boolean;
}

/** Every topic that a topology ever needs, also those that are otherwise made when the first message wants them. */
export function planOf(
  whole: Topology,
  names: Names,
  settings: Pick<Settings, "partitions" | "retentionMs">,
): readonly PlannedTopic[] {
  const topology = permanentPart(whole);
  const aside = addressesOf(topology).flatMap((address) =>
    asideStates.map((state) => asideOf(names, address, state)),
  );
  const unheard = topology.topics.map(({ name }) => asideOf(names, `${name}/`, "dead"));
  const own = [registryTopic(names), repliesTopic(names), delaysTopic(names)];
  const exact = new Set(own.map(({ name }) => name).concat(names.registryTopic));
  const topics = [...own, ...topicsOf(topology, names, settings), ...aside, ...unheard];
  return [
    ...topics.map((topic) => planned(topic, exact.has(topic.name))),
    ...streamsOf(topology, names),
  ];
}

function addressesOf({ queues, subscriptions }: Topology): readonly string[] {
  return [
    ...queues.map(({ name }) => name),
    ...subscriptions.map(({ topic, name }) => addressOf({ kind: "subscription", topic, name })),
  ];
}

function streamsOf({ streams }: Topology, names: Names): readonly PlannedTopic[] {
  return streams.flatMap(({ name, partitions, retention, groups = [] }) => [
    {
      name: names.streamTopic(name),
      address: name,
      partitions,
      configs: streamConfigs(retention),
      musts: ["cleanup.policy", "retention.ms", "retention.bytes"],
      isExact: true,
    },
    ...groups.flatMap((group) => {
      const { address, returns } = names.groupPlace({ kind: "stream", name, group });
      const given = { name: returns, address, partitions: 1, keeping: "handled" } as const;
      return [planned(given, true), planned(asideOf(names, address, "dead"), true)];
    }),
  ]);
}

function asideOf(names: Names, address: string, state: AsideState): WantedTopic {
  return { ...asideTopic(names.asideTopic(address, state)), address };
}

function planned(
  { name, address, partitions, keeping }: WantedTopic,
  isExact: boolean,
): PlannedTopic {
  const configs = new Map(configOf(keeping).map((each) => [each.name, each.value]));
  const musts = keeping === "handled" ? [...configs.keys()] : ["cleanup.policy"];
  return { name, address, partitions, configs, musts, isExact: isExact || keeping === "latest" };
}
