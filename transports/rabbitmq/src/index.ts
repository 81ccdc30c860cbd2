import type { TransportFactory } from "@waybill/core";
import { definitionsOf } from "./definitions.ts";
import { type RabbitmqOptions, settingsOf } from "./options.ts";
import { RabbitmqTransport } from "./transport.ts";

export type { RabbitmqOptions, RabbitmqTls } from "./options.ts";

/**
 * RabbitMQ 3.10 or newer as the broker: quorum queues, confirmed sends, acknowledgement after success, delays without a plugin.
 * Throws OPTION_INVALID; connecting rejects with UNAUTHORISED or TRANSPORT_FAILED.
 *
 * @example
 * await using bus = await connect({ transport: rabbitmq({ url: "amqp://guest:guest@127.0.0.1" }), services: [ordering] });
 */
export function rabbitmq(options: RabbitmqOptions): TransportFactory {
  const settings = settingsOf(options);
  return {
    name: "rabbitmq",
    open: (host) => RabbitmqTransport.open(settings, host),
    definitions: (topology) => definitionsOf(topology, settings),
  };
}
