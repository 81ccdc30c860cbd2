import type { TransportFactory } from "@waybill/core";
import { definitionsOf } from "./definitions.ts";
import { type NatsOptions, settingsOf } from "./options.ts";
import { NatsTransport } from "./transport.ts";

export type { NatsOptions, NatsTls } from "./options.ts";

/**
 * NATS 2.9 or newer with JetStream as the broker: durable consumers, confirmed sends and acknowledgements, leases that are renewed.
 * Throws OPTION_INVALID; connecting rejects with UNAUTHORISED, NOT_SUPPORTED or TRANSPORT_FAILED.
 *
 * @example
 * await using bus = await connect({ transport: nats({ url: "nats://127.0.0.1:4222" }), services: [ordering] });
 */
export function nats(options: NatsOptions): TransportFactory {
  const settings = settingsOf(options);
  return {
    name: "nats",
    open: (host) => NatsTransport.open(settings, host),
    definitions: (topology) => definitionsOf(topology, settings),
  };
}
