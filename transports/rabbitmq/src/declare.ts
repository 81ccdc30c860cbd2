import { type Capabilities, type Topology, WaybillError } from "@waybill/core";
import { assertRules } from "@waybill/core/adapter";
import { brokerError } from "./errors.ts";
import type { Making } from "./making.ts";
import { type Names, quorum, singleConsumer } from "./topology.ts";

/** Unrouted events kept for each topic; the oldest leave first. */
const unroutedMax = 10_000;

export interface DeclareParts {
  readonly names: Names;
  /** Queues that one consumer at a time has. */
  readonly singles: ReadonlySet<string>;
}

/**
 * Creates what is missing. A queue that is there with other arguments is refused by RabbitMQ and left as it is. Rules are evaluated at the consumer:
 * a binding knows types only.
 */
export async function declare(
  channel: Making,
  topology: Topology,
  { names, singles }: DeclareParts,
): Promise<void> {
  const declareKept = async (queue: string): Promise<void> => {
    await channel.assertQueue(names.dead(queue), { durable: true, arguments: quorum });
    const settings = singles.has(queue) ? singleConsumer : quorum;
    await channel.assertQueue(queue, { durable: true, arguments: settings });
  };
  for (const { name, temporary } of topology.queues)
    if (temporary === true) await declareTemporary(channel, names.queue(name));
    else await declareKept(names.queue(name));
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
    else await declareKept(queue);
    for (const type of new Set(accepts.map((each) => each.type)))
      for (const pattern of [type, `#.${names.delayedType(type)}`])
        await bind(channel, { queue, topic, pattern, exchange: names.exchange(topic) });
  }
}

/** Queues whose keys are to stay in order: one consumer at a time has each. */
export function singlesOf({ queues, subscriptions }: Topology, names: Names): readonly string[] {
  return [
    ...queues.filter(({ sessions }) => sessions).map(({ name }) => names.queue(name)),
    ...subscriptions
      .filter(({ sessions }) => sessions)
      .map(({ topic, name }) => names.subscription(topic, name)),
  ];
}

/** Somebody declared that queue for a single consumer, who leaves it out asks for nothing. Undefined for every other complaint. */
export function singleAlready({ message }: WaybillError): string | undefined {
  return /inequivalent arg 'x-single-active-consumer' for queue '([^']+)'.*received none/.exec(
    message,
  )?.[1];
}

async function declareTemporary(channel: Making, queue: string): Promise<void> {
  await channel.assertQueue(queue, { exclusive: true, durable: false });
}

interface Binding {
  readonly queue: string;
  readonly topic: string;
  readonly exchange: string;
  readonly pattern: string;
}

async function bind(channel: Making, binding: Binding): Promise<void> {
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

/** Throws NOT_SUPPORTED or WIRING_INVALID. */
export function assertDeclarable(topology: Topology, can: Capabilities): void {
  const { streams } = topology;
  assertRules(topology);
  if (streams.length > 0 && !can.streams)
    throw new WaybillError(
      "NOT_SUPPORTED",
      `This RabbitMQ has no streams, or this user may not make one, so it cannot keep "${streams[0]?.name}". Enable its feature flag stream_queue, or grant the right.`,
    );
}
