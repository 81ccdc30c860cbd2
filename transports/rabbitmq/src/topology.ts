import { createHash } from "node:crypto";
import type { Destination, Source } from "@waybill/core";

/** How names map to what RabbitMQ has. The only place that knows. A queue's name is what other clients publish to and consume from, so it stays as it is. */
export class Names {
  readonly #prefix: string;
  readonly #system: string;

  constructor(prefix: string, system = "waybill") {
    this.#prefix = prefix;
    this.#system = system;
  }

  /** The queue of a command or a query. */
  queue(name: string): string {
    return `${this.#prefix}${name}`;
  }

  /** The topic exchange of an event; its messages are routed by their type. */
  exchange(topic: string): string {
    return `${this.#prefix}${topic}`;
  }

  subscription(topic: string, name: string): string {
    return `${this.#prefix}${topic}/${name}`;
  }

  queueOf(source: Exclude<Source, { kind: "stream" }>): string {
    return source.kind === "queue"
      ? this.queue(source.name)
      : this.subscription(source.topic, source.name);
  }

  /** Where dead letters of a queue lie. Events that nobody subscribes to lie at `<topic>/.dead`. */
  dead(queue: string): string {
    return `${queue}.dead`;
  }

  deferred(queue: string): string {
    return `${queue}.deferred`;
  }

  unrouted(topic: string): string {
    return this.dead(`${this.exchange(topic)}/`);
  }

  /** A queue and an exchange of one name for each step of the delay. */
  delay(level: number): string {
    return `${this.#prefix}waybill.delay.${level}`;
  }

  /** Where a message goes when its delay is over. */
  get due(): string {
    return `${this.#prefix}waybill.due`;
  }

  /** Where it goes when its queue was removed meanwhile. */
  get lost(): string {
    return `${this.#prefix}waybill.lost`;
  }

  /** A stream of RabbitMQ for each partition; named as in a super stream. */
  partition(stream: string, partition: number): string {
    return `${this.#prefix}${stream}-${partition}`;
  }

  /** How far the groups of a stream have come. */
  groupLog(stream: string): string {
    return `${this.#prefix}${stream}.groups`;
  }

  /** There while a member of a group lives. */
  member(id: string): string {
    return `${this.#prefix}waybill.member.${id}`;
  }

  /** Where replayed dead letters of a group wait. */
  group(stream: string, group: string): string {
    return `${this.#prefix}${stream}@${group}`;
  }

  /** The log of what was given back untouched. */
  get released(): string {
    return `${this.#prefix}waybill.released`;
  }

  /** The log of what the processes of a system have declared. */
  get registry(): string {
    return `${this.#prefix}${this.#system}.addresses`;
  }

  /** Where a delayed message goes. An event is routed when it falls due. */
  target({ kind, name }: Destination, type: string): Target {
    return kind === "topic"
      ? { kind: "exchange", name: this.exchange(name), key: this.delayedType(type) }
      : { kind: "queue", name: this.queue(name), key: fitting(this.queue(name)) };
  }

  targetQueue(queue: string): Target {
    return { kind: "queue", name: queue, key: fitting(queue) };
  }

  /** How a delayed event's routing key ends; `@` keeps it apart from the names of queues. */
  delayedType(type: string): string {
    return `@.${type}`;
  }

  /** The name that a person sees in errors: without the prefix, as `addressOf` writes it. */
  addressOf(queue: string): string {
    return queue.slice(this.#prefix.length);
  }

  /** Exchange and routing key that lead to a destination. */
  wayTo({ kind, name }: Destination, type: string): Way {
    return kind === "topic"
      ? { exchange: this.exchange(name), key: type }
      : { exchange: "", key: this.queue(name) };
  }
}

export interface Way {
  readonly exchange: string;
  readonly key: string;
}

/** What a delayed message reaches in the end. `key` stands behind the digits of its routing key. */
export interface Target {
  readonly kind: "queue" | "exchange";
  readonly name: string;
  readonly key: string;
}

/** Characters of a target's key: AMQP has 255 for a routing key, of which the digits of the delay take 56. */
const targetKeyMax = 190;
const digestLength = 64;

function fitting(name: string): string {
  if (name.length <= targetKeyMax) return name;
  const digest = createHash("sha256").update(name).digest("hex");
  return `${name.slice(0, targetKeyMax - digestLength - 1)}.${digest}`;
}

/** Arguments of every durable queue: replicated, on disk, never ending a message by itself. */
export const quorum: Readonly<Record<string, unknown>> = {
  "x-queue-type": "quorum",
  // RabbitMQ 4 ends messages after 20 deliveries unless told otherwise. How often is ours to decide, and 3.x takes no -1.
  "x-delivery-limit": 1_000_000,
};

/** Arguments of a queue whose messages keep their order between processes: one consumer has all of it, the others wait for its end. */
export const singleConsumer: Readonly<Record<string, unknown>> = {
  ...quorum,
  "x-single-active-consumer": true,
};

/**
 * Arguments of a queue whose messages reach an exchange when they have waited long enough: stored there before they leave here. Only for the few
 * queues of the delays, because RabbitMQ runs a process more for each.
 */
export function expiringInto(exchange: string): Readonly<Record<string, unknown>> {
  return {
    ...quorum,
    "x-dead-letter-exchange": exchange,
    "x-dead-letter-strategy": "at-least-once",
    // Without it the strategy above is refused.
    "x-overflow": "reject-publish",
  };
}
