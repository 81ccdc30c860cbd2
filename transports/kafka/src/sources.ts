import {
  type Environment,
  type Listener,
  type ReceiveOptions,
  type Source,
  type Topology,
  WaybillError,
  addressOf,
} from "@waybill/core";
import { asideStates } from "@waybill/core/adapter";
import { KafkaClient } from "./client.ts";
import { identityAt, identityInStream } from "./identity.ts";
import { GroupSeat, type GroupSeatParts } from "./group-seat.ts";
import { type Stored, addresseeOf, typeOf } from "./message.ts";
import { type Settings, streamTimingOf, timingOf } from "./options.ts";
import { KafkaReceiver, type ReceiverParts } from "./receiver.ts";
import type { Registry } from "./registry.ts";
import type { Replies } from "./replies.ts";
import type { Settling } from "./settling.ts";
import { unknownStream } from "./streams/groups.ts";
import { deleteTopics, ensureTopics } from "./topics.ts";
import type { MessageSource, Names, StreamSource } from "./topology.ts";

export interface SourcesParts {
  readonly settings: Settings;
  readonly environment: Environment;
  readonly client: KafkaClient;
  readonly mayCreate: boolean;
  /** Of the groups alone, so that no looking around holds up their signs of life. */
  readonly groups: KafkaClient;
  readonly names: Names;
  readonly registry: Registry;
  readonly replies: Replies;
  readonly settling: Settling;
  /** Makes again what this process declared, where somebody deleted it. */
  readonly restore: () => Promise<void>;
}

type Judging = Pick<ReceiverParts, "look" | "isWanted">;
/** How a kind of source is read. */
type Kind = Judging & Pick<ReceiverParts, "origin" | "seat" | "ready">;

/** Receivers, and how each kind of source is read. */
export class Sources {
  readonly #parts: SourcesParts;
  readonly #receivers = new Set<KafkaReceiver>();
  readonly #members = new Map<string, number>();
  /** Of this process, with which they end. */
  readonly #temporary: { readonly topic: string; readonly name: string }[] = [];

  constructor(parts: SourcesParts) {
    this.#parts = parts;
  }

  note({ subscriptions }: Topology): void {
    for (const { topic, name, temporary } of subscriptions)
      if (temporary === true) this.#temporary.push({ topic, name });
  }

  receive(source: Source, options: ReceiveOptions, listener: Listener): KafkaReceiver {
    const { settings, environment, settling } = this.#parts;
    const client = (name: string): KafkaClient => new KafkaClient(settings, environment, { name });
    const receiver = new KafkaReceiver({
      ...this.#kindOf(source, options),
      options,
      listener,
      clients: { reading: client("read"), waiting: client("wait") },
      settling,
      environment,
      handoverMs: settings.handoverMs,
      onEnd: (ended) => this.#receivers.delete(ended),
    });
    this.#receivers.add(receiver);
    return receiver;
  }

  /** Resolves when what was settled until now is kept. */
  async flush(): Promise<void> {
    await Promise.all([...this.#receivers].map((receiver) => receiver.flush()));
  }

  async close(): Promise<void> {
    await Promise.all([...this.#receivers].map((receiver) => receiver.close()));
    for (const { topic, name } of this.#temporary) await this.remove(topic, name);
  }

  #kindOf(source: Source, options: ReceiveOptions): Kind {
    if (source.kind === "stream") return this.#stream(source, options);
    const isTemporary = source.kind === "queue" && this.#parts.replies.has(source.name);
    return isTemporary ? this.#temporaryQueue(source.name) : this.#shared(source);
  }

  #temporaryQueue(name: string): Kind {
    const { names, replies } = this.#parts;
    const identify = identityAt(name);
    const returns = names.repliesTopic;
    return {
      origin: { address: name, returns, to: name, isStream: false, identify },
      seat: replies.seat(name),
      ready: () => Promise.resolve(),
      look: () => Promise.resolve(),
      isWanted: ({ stored }) => addresseeOf(stored) === name,
    };
  }

  #shared(source: MessageSource): Kind {
    const { settings, names, registry } = this.#parts;
    const { address, group, topics, returns } = names.place(source);
    const member = this.#memberOf(address);
    return {
      origin: { address, returns, isStream: false, identify: identityAt(address) },
      seat: this.#seat({ group, topics, returns, timing: timingOf(settings), member }),
      ready: () => this.#ready(source, topics),
      ...(source.kind === "queue" ? everything : this.#byType(source, registry)),
    };
  }

  #stream(source: StreamSource, { start, lockMs }: ReceiveOptions): Kind {
    const { settings, names } = this.#parts;
    const { address, group, topics, returns } = names.groupPlace(source);
    const timing = streamTimingOf(settings, lockMs);
    const ready = async (): Promise<void> => {
      const { client } = this.#parts;
      if ((await client.topic(names.streamTopic(source.name), true)) === undefined)
        throw unknownStream(source.name);
      await ensureTopics(this.#parts, [{ name: returns, partitions: 1, keeping: "handled" }]);
    };
    return {
      origin: { address, returns, isStream: true, identify: identityInStream(returns) },
      seat: this.#seat({ group, topics, returns, timing, member: undefined, start }),
      ready,
      ...everything,
    };
  }

  #seat(place: SeatPlace): GroupSeat {
    const { settings, environment, groups: client } = this.#parts;
    const { returns, start = "earliest", ...rest } = place;
    const isOurs = (topic: string): boolean => topic === returns;
    return new GroupSeat({ settings, environment, client, ...rest, start, isOurs });
  }

  /** Several receivers of one source are several members. */
  #memberOf(address: string): string | undefined {
    const { member } = this.#parts.settings;
    if (member === undefined) return undefined;
    const before = this.#members.get(address) ?? 0;
    this.#members.set(address, before + 1);
    return before === 0 ? member : `${member}.${before}`;
  }

  async #ready(source: MessageSource, topics: readonly string[]): Promise<void> {
    const { client, restore, registry } = this.#parts;
    for (const topic of topics) {
      if ((await client.topic(topic, true)) !== undefined) continue;
      await restore();
      if ((await client.topic(topic, true)) === undefined) throw missingSource(addressOf(source));
    }
    await registry.refresh();
  }

  /** All events of a topic come; those of types that nobody asked for are passed over. */
  #byType({ topic, name }: MessageSource & { kind: "subscription" }, registry: Registry): Judging {
    const eventTopic = this.#parts.names.eventTopic(topic);
    const isWanted = (stored: Stored): boolean => {
      const types = registry.subscription(topic, name)?.types;
      return stored.topic !== eventTopic || types === undefined || types.includes(typeOf(stored));
    };
    return {
      // Whoever declared more types before he published had that written down by then.
      look: async (records) => {
        if (!records.every(isWanted)) await registry.refresh();
      },
      isWanted: ({ stored }) => isWanted(stored),
    };
  }

  /** With everything that is its own. */
  async remove(topic: string, name: string): Promise<void> {
    const { registry, names, client } = this.#parts;
    await registry.remove("subscription", `${topic}/${name}`).catch(() => undefined);
    const { address, group, returns } = names.place({ kind: "subscription", topic, name });
    await client.admin.deleteGroups({ groups: [group] }).catch(() => undefined);
    const asides = asideStates.map((state) => names.asideTopic(address, state));
    await deleteTopics({ client }, [returns, ...asides]);
  }
}

interface SeatPlace extends Pick<GroupSeatParts, "group" | "topics" | "timing" | "member"> {
  readonly returns: string;
  readonly start?: GroupSeatParts["start"] | undefined;
}

const everything: Judging = { look: () => Promise.resolve(), isWanted: () => true };

function missingSource(address: string): WaybillError {
  return new WaybillError(
    "NOT_FOUND",
    `Kafka has no "${address}" to receive from. Declare it first.`,
  );
}
