import type { TransportFactory } from "@waybill/core";
import { definitionsOf } from "./definitions.ts";
import { type KafkaOptions, settingsOf } from "./options.ts";
import { KafkaTransport } from "./transport.ts";

export type { BrokerAddress, KafkaOptions, KafkaSasl, KafkaTls } from "./options.ts";

/**
 * Kafka 2.8 or newer as the broker, or what speaks its protocol: consumer groups, confirmed sends, offsets that stay below what is unfinished.
 * Throws OPTION_INVALID; connecting rejects with UNAUTHORISED, NOT_SUPPORTED or TRANSPORT_FAILED.
 *
 * @example
 * await using bus = await connect({ transport: kafka({ url: "kafka://127.0.0.1:9092" }), services: [ordering] });
 */
export function kafka(options: KafkaOptions): TransportFactory {
  const settings = settingsOf(options);
  return {
    name: "kafka",
    open: (host) => KafkaTransport.open(settings, host),
    definitions: (topology) => Promise.resolve(definitionsOf(topology, settings)),
  };
}
