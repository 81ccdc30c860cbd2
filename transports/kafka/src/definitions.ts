import type { Definitions, Topology } from "@waybill/core";
import type { Settings } from "./options.ts";
import { planOf } from "./plan.ts";
import { Names } from "./topology.ts";

/** What `kafka-topics.sh --create` is told of each topic. Groups need nothing: they are there when somebody joins. */
export function definitionsOf(topology: Topology, settings: Settings): Definitions {
  const { prefix, replicas } = settings;
  const topics = planOf(topology, new Names(prefix), settings);
  return {
    file: "topics.json",
    apply:
      "each of topics: kafka-topics.sh --create --topic <name> --partitions <partitions> --config <each of config>",
    data: {
      topics: topics.map(({ name, partitions, configs }) => ({
        name,
        partitions,
        ...(replicas !== undefined && { "replication-factor": replicas }),
        config: [...configs].map(([setting, value]) => `${setting}=${value}`),
      })),
    },
  };
}
