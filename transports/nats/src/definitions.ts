import type { Definitions, Topology } from "@waybill/core";
import type { Settings } from "./options.ts";
import { Plan } from "./plan.ts";

/** The bodies of JetStream's own requests, which its command line takes from files: https://docs.nats.io/reference/reference-protocols/nats_api_reference */
export async function definitionsOf(topology: Topology, settings: Settings): Promise<Definitions> {
  const { streams, consumers } = await Plan.of(topology, settings);
  return {
    file: "jetstream.json",
    apply:
      "each of streams: nats stream add --config <file>; then each of consumers: nats consumer add <stream_name> --config <file of its config>",
    data: {
      streams,
      consumers: consumers.map(({ stream, config }) => ({ stream_name: stream, config })),
    },
  };
}
