import type { Definitions, Topology } from "@waybill/core";
import type { Settings } from "./options.ts";
import { Plan } from "./plan.ts";
import { Names } from "./topology.ts";

/** What `rabbitmqctl import_definitions` takes: https://www.rabbitmq.com/docs/definitions */
export async function definitionsOf(
  topology: Topology,
  { url, prefix, system }: Pick<Settings, "url" | "prefix" | "system">,
): Promise<Definitions> {
  const plan = await Plan.of(topology, new Names(prefix, system));
  const vhost = decodeURIComponent(new URL(url).pathname.slice(1)) || "/";
  return {
    file: "definitions.json",
    apply: "rabbitmqctl import_definitions definitions.json",
    data: {
      queues: [...plan.queues].map(([name, options]) => ({
        name,
        vhost,
        durable: true,
        auto_delete: false,
        arguments: options.arguments ?? {},
      })),
      exchanges: [...plan.exchanges].map(([name, { type, options }]) => ({
        name,
        vhost,
        type,
        durable: true,
        auto_delete: false,
        internal: false,
        arguments:
          options.alternateExchange === undefined
            ? {}
            : { "alternate-exchange": options.alternateExchange },
      })),
      bindings: [...plan.bindings.values()].map(({ kind, source, target, pattern }) => ({
        source,
        vhost,
        destination: target,
        destination_type: kind,
        routing_key: pattern,
        arguments: {},
      })),
    },
  };
}
