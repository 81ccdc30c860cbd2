import { type Topology, WaybillError } from "@waybill/core";
import type { Channel } from "amqplib";
import { brokerError } from "./errors.ts";
import { type Names, quorum } from "./topology.ts";

/** Unrouted events kept for each topic; the oldest leave first. */
const unroutedMax = 10_000;

/**
 * Creates what is missing. A queue that is there with other arguments is refused by RabbitMQ and left as it is. Rules are evaluated at the consumer:
 * a binding knows types only.
 */
export async function declare(channel: Channel, topology: Topology, names: Names): Promise<void> {
  for (const { name, temporary } of topology.queues)
    if (temporary === true) await declareTemporary(channel, names.queue(name));
    else await declareQueue(channel, names.queue(name), names);
  for (const { name } of topology.topics) {
    await channel.assertExchange(names.exchange(name), "topic", { durable: true });
    await channel.assertQueue(names.unrouted(name), {
      durable: true,
      arguments: { ...quorum, "x-max-length": unroutedMax },
    });
  }
  for (const { topic, name, accepts, temporary } of topology.subscriptions) {
    const queue = names.subscription(topic, name);
    if (temporary === true) await declareTemporary(channel, queue);
    else await declareQueue(channel, queue, names);
    for (const type of new Set(accepts.map((each) => each.type)))
      for (const pattern of [type, `#.${names.delayedType(type)}`])
        await bind(channel, { queue, topic, pattern, exchange: names.exchange(topic) });
  }
}

/** Only what dies with this connection: the rest has outlived it. */
export function temporaryPart(topology: Topology): Topology {
  return {
    queues: topology.queues.filter(({ temporary }) => temporary === true),
    topics: [],
    subscriptions: topology.subscriptions.filter(({ temporary }) => temporary === true),
    streams: [],
  };
}

async function declareQueue(channel: Channel, queue: string, names: Names): Promise<void> {
  await channel.assertQueue(names.dead(queue), { durable: true, arguments: quorum });
  await channel.assertQueue(queue, { durable: true, arguments: quorum });
}

async function declareTemporary(channel: Channel, queue: string): Promise<void> {
  await channel.assertQueue(queue, { exclusive: true, durable: false });
}

interface Binding {
  readonly queue: string;
  readonly topic: string;
  readonly exchange: string;
  readonly pattern: string;
}

async function bind(channel: Channel, binding: Binding): Promise<void> {
  try {
    await channel.bindQueue(binding.queue, binding.exchange, binding.pattern);
  } catch (cause) {
    if (brokerError("Binding", cause).code !== "NOT_FOUND") throw cause;
    throw new WaybillError(
      "WIRING_INVALID",
      `There is no topic "${binding.topic}" to subscribe to. Declare it with the subscription.`,
      { cause },
    );
  }
}
