import { type AddressState, addressOf } from "@waybill/core";
import type { Names } from "./topology.ts";

/** An address and the queues behind it; a topic has none but that of its unrouted events. */
export interface Place {
  readonly address: string;
  readonly kind: AddressState["kind"];
  readonly queue: string | undefined;
  readonly dead: string;
  readonly temporary: boolean;
}

interface Named {
  readonly name: string;
  readonly temporary?: boolean;
}

/** As much of a topology as tells its addresses. */
export interface Declared {
  readonly queues: readonly Named[];
  readonly topics: readonly Named[];
  readonly subscriptions: readonly (Named & { readonly topic: string })[];
  readonly streams: readonly Named[];
}

/** Every address that was declared, once, in the order of their names. */
export function placesIn(declared: readonly Declared[], names: Names): readonly Place[] {
  const places = new Map<string, Place>();
  for (const { queues, topics, subscriptions } of declared) {
    for (const { name, temporary = false } of queues) {
      const queue = names.queue(name);
      places.set(name, { address: name, kind: "queue", queue, dead: names.dead(queue), temporary });
    }
    for (const { name } of topics)
      places.set(`${name}/`, {
        address: `${name}/`,
        kind: "topic",
        queue: undefined,
        dead: names.unrouted(name),
        temporary: false,
      });
    for (const { topic, name, temporary = false } of subscriptions) {
      const address = addressOf({ kind: "subscription", topic, name });
      const queue = names.subscription(topic, name);
      places.set(address, {
        address,
        kind: "subscription",
        queue,
        dead: names.dead(queue),
        temporary,
      });
    }
  }
  return [...places.values()].toSorted((one, other) => (one.address < other.address ? -1 : 1));
}
