import { type Source, WaybillError, addressOf } from "@waybill/core";
import type { AsideState } from "@waybill/core/adapter";

export type MessageSource = Exclude<Source, { kind: "stream" }>;

export type StreamSource = Extract<Source, { kind: "stream" }>;

/** Where an address lies: topics, and the consumer group that all its receivers share. */
export interface Place {
  readonly address: string;
  readonly kind: "queue" | "subscription";
  readonly group: string;
  /** All of them are read by the group. */
  readonly topics: readonly string[];
  /** Of those, the one to which a message goes back that only this address is to get. */
  readonly returns: string;
}

/** What a topic of ours holds. */
export type TopicKind = "queue" | "event" | "returns" | "stream" | AsideState;

/** Kafka's bound for the names of topics. */
const nameMax = 249;

/** How names map to what Kafka has. The only place that knows. */
export class Names {
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** What a client in any language produces a command to. */
  queueTopic(name: string): string {
    return this.#topic("queue", name);
  }

  /** What a client in any language produces an event to, or consumes with a group of its own. */
  eventTopic(name: string): string {
    return this.#topic("event", name);
  }

  /** What a client in any language appends to, or consumes with a group of its own. */
  streamTopic(name: string): string {
    return this.#topic("stream", name);
  }

  place(source: MessageSource): Place {
    const address = addressOf(source);
    const group = this.group(address);
    if (source.kind === "queue") {
      const topic = this.queueTopic(source.name);
      return { address, kind: "queue", group, topics: [topic], returns: topic };
    }
    const returns = this.returnsTopic(address);
    const topics = [this.eventTopic(source.topic), returns];
    return { address, kind: "subscription", group, topics, returns };
  }

  /** Of a group of a stream. */
  groupPlace(source: StreamSource): Omit<Place, "kind"> {
    const address = addressOf(source);
    const returns = this.returnsTopic(address);
    const topics = [this.streamTopic(source.name), returns];
    return { address, group: this.group(address), topics, returns };
  }

  /** What was set aside at an address and is given back to it alone. */
  returnsTopic(address: string): string {
    return this.#topic("returns", address);
  }

  /** The group of all who read at an address. */
  group(address: string): string {
    return bounded(`${this.#prefix}.${encoded(address)}`);
  }

  /** Undefined for a group that is not ours. */
  addressOfGroup(group: string): string | undefined {
    const start = `${this.#prefix}.`;
    return group.startsWith(start) ? decoded(group.slice(start.length)) : undefined;
  }

  /** Where what is set aside at an address lies. */
  asideTopic(address: string, state: AsideState): string {
    return this.#topic(state, address);
  }

  /** Who subscribes to what, and which queues are temporary. */
  get registryTopic(): string {
    return `${this.#prefix}.registry`;
  }

  /** Messages that wait for their time. */
  get delaysTopic(): string {
    return `${this.#prefix}.delays`;
  }

  /** What temporary queues get. */
  get repliesTopic(): string {
    return `${this.#prefix}.replies`;
  }

  /** What a topic of ours holds; undefined for one that is not ours, or holds no address. */
  read(topic: string): { readonly kind: TopicKind; readonly name: string } | undefined {
    const [, kind, name] = /^\.([a-z]+)\.(.+)$/.exec(topic.slice(this.#prefix.length)) ?? [];
    if (!topic.startsWith(this.#prefix) || name === undefined || !isKind(kind)) return undefined;
    return { kind, name: decoded(name) };
  }

  #topic(kind: TopicKind, name: string): string {
    return bounded(`${this.#prefix}.${kind}.${encoded(name)}`);
  }
}

/** A group of a stream: `stream@group`. No name of a queue or a topic holds an `@`. */
export function isOfStream(address: string): boolean {
  return address.includes("@");
}

const kinds: readonly string[] = ["queue", "event", "returns", "stream", "dead", "deferred"];

function isKind(text: string | undefined): text is TopicKind {
  return text !== undefined && kinds.includes(text);
}

/** Kafka takes letters, digits, dots, dashes and underscores: anything else, and the underscore, becomes an underscore and its bytes in hex. */
function encoded(name: string): string {
  return name.replace(/[^A-Za-z0-9.-]/gu, (character) =>
    [...Buffer.from(character)]
      .map((byte) => `_${byte.toString(16).toUpperCase().padStart(2, "0")}`)
      .join(""),
  );
}

function decoded(text: string): string {
  const bytes = text.replace(/_([0-9A-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, "latin1").toString("utf8");
}

function bounded(name: string): string {
  if (name.length <= nameMax) return name;
  throw new WaybillError(
    "WIRING_INVALID",
    `Kafka would call it "${name}", which is longer than ${nameMax} characters. Give it a shorter name.`,
  );
}
