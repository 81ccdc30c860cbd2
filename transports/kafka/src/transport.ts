import {
  type Capabilities,
  type Inspection,
  type Listener,
  type Outgoing,
  type ReceiveOptions,
  type Receiver,
  type Source,
  type Topology,
  type Transport,
  type TransportHost,
  WaybillError,
  sleep,
} from "@waybill/core";
import { assertRules } from "@waybill/core/adapter";
import { Addresses } from "./addresses.ts";
import { Aside } from "./aside.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { KafkaClient } from "./client.ts";
import { type DeclareParts, declare, registryTopic } from "./declare.ts";
import { Delays } from "./delays.ts";
import { brokerError, closedError } from "./errors.ts";
import { KafkaInspection } from "./inspection.ts";
import { Log } from "./log.ts";
import type { Settings } from "./options.ts";
import { Outbound } from "./outbound.ts";
import { patiently } from "./patience.ts";
import { Presence } from "./presence.ts";
import { Publisher } from "./publisher.ts";
import { Registry } from "./registry.ts";
import { Replies } from "./replies.ts";
import { Settling } from "./settling.ts";
import { Sources } from "./sources.ts";
import { Streams } from "./streams/streams.ts";
import { ensureTopics } from "./topics.ts";
import { Names } from "./topology.ts";
import { verify } from "./verifying.ts";

/** How long a broker may take to get ready for what is new. */
const patienceMs = 15_000;
const closeMsMax = 1_800;

/** One bus on Kafka. */
export class KafkaTransport implements Transport {
  readonly name = "kafka";
  readonly capabilities: Capabilities;
  readonly inspection: Inspection;
  readonly #client: KafkaClient;
  readonly #groups: KafkaClient;
  readonly #declaring: DeclareParts;
  readonly #publisher: Publisher;
  readonly #outbound: Outbound;
  readonly #streams: Streams;
  readonly #delays: Delays;
  readonly #replies: Replies;
  readonly #sources: Sources;
  readonly #presence: Presence;
  /** What this process has declared: others may delete it. */
  readonly #declared: Topology[] = [];
  #closed: Promise<void> | undefined;

  static async open(settings: Settings, host: TransportHost): Promise<Transport> {
    const doing = `Connecting to Kafka at ${settings.shownUrl}`;
    const transport = new KafkaTransport(settings, host);
    try {
      const { client, names, registry } = transport.#declaring;
      assertRecent(await client.admin.listApis());
      await patiently({ environment: host.environment, doing, patienceMs }, async () => {
        if (host.mayCreate !== false)
          await ensureTopics(transport.#declaring, [registryTopic(names)]);
        await registry.refresh();
      });
      return transport;
    } catch (error) {
      await transport[Symbol.asyncDispose]().catch(() => undefined);
      throw brokerError(doing, error);
    }
  }

  private constructor(settings: Settings, host: TransportHost) {
    const { environment, instance, logger } = host;
    const names = new Names(settings.prefix);
    const client = new KafkaClient(settings, environment, { name: "client" });
    const log = new Log({ client, environment });
    const publisher = new Publisher({ settings, environment });
    const { clock } = environment;
    const registry = new Registry({ names, log, publisher, clock });
    const mayCreate = host.mayCreate !== false;
    const known = { client, settings, environment, mayCreate };
    const declaring = { ...known, names, log, registry, instance };
    this.capabilities = capabilitiesOf(settings);
    const { bodyBytesMax } = this.capabilities;
    const aside = new Aside({ ...declaring, publisher });
    const fault = (error: unknown): void =>
      logger.warn(brokerError("Moving on what waits for its time", error).message);
    const groups = new KafkaClient(settings, environment, { name: "groups" });
    const delays = new Delays({ ...declaring, groups, publisher, aside, fault });
    const sending = { client, names, publisher, registry, aside, delays, bodyBytesMax };
    const outbound = new Outbound({ ...sending, host });
    const settling = new Settling({ ...sending, outbound, environment });
    const replies = new Replies(declaring);
    const restore = (): Promise<void> => this.#redeclare();
    this.#client = client;
    this.#publisher = publisher;
    this.#declaring = declaring;
    this.#outbound = outbound;
    this.#delays = delays;
    this.#replies = replies;
    this.#groups = groups;
    this.#sources = new Sources({ ...declaring, groups, replies, settling, restore });
    const flush = (): Promise<void> => this.#sources.flush();
    this.#streams = new Streams({ ...declaring, aside, groups, flush });
    this.#presence = new Presence({
      ...declaring,
      remove: (topic, name) => this.#sources.remove(topic, name),
    });
    const addresses = new Addresses({ environment, client, names, log, aside, registry });
    const assertOpen = (): void => this.#assertOpen();
    const streams = this.#streams;
    const id = (): string => environment.id();
    this.inspection = new KafkaInspection({ addresses, aside, outbound, streams, assertOpen, id });
  }

  async declare(topology: Topology): Promise<void> {
    this.#assertOpen();
    assertRules(topology);
    const { environment } = this.#declaring;
    await patiently({ environment, doing: "Declaring", patienceMs }, () => this.#make(topology));
    this.#sources.note(topology);
    if (isTemporary(topology)) this.#presence.begin();
    this.#declared.push(topology);
  }

  async send(batch: readonly Outgoing[]): Promise<void> {
    this.#assertOpen();
    await this.#outbound.send(batch);
  }

  receive(source: Source, options: ReceiveOptions, listener: Listener): Receiver {
    this.#assertOpen();
    if (source.kind !== "stream") this.#delays.watch();
    return this.#sources.receive(source, options, listener);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #make(topology: Topology): Promise<void> {
    if (!this.#declaring.mayCreate) await verify(topology, this.#declaring);
    await declare(this.#declaring, topology);
    for (const queue of topology.queues)
      if (queue.temporary === true) await this.#replies.declare(queue);
    await this.#streams.declare(topology.streams);
  }

  async #redeclare(): Promise<void> {
    await ensureTopics(this.#declaring, [registryTopic(this.#declaring.names)]);
    for (const topology of this.#declared) await this.#make(topology);
  }

  /** In order; what a broker that is gone leaves unanswered is given up. */
  async #close(): Promise<void> {
    const { timers } = this.#declaring.environment;
    this.#presence.close();
    const inOrder = async (): Promise<void> => {
      const readers = [this.#sources, this.#delays];
      await Promise.all(readers.map((each) => each.close()));
      await this.#replies.end();
    };
    await Promise.race([inOrder().catch(() => undefined), sleep(timers, closeMsMax)]);
    await this.#publisher.close();
    for (const each of [this.#groups, this.#client]) await each.close().catch(() => undefined);
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw closedError();
  }
}

function isTemporary({ queues, subscriptions }: Topology): boolean {
  return [...queues, ...subscriptions].some(({ temporary }) => temporary === true);
}

/** Throws NOT_SUPPORTED. */
function assertRecent(
  apis: readonly { readonly name: string; readonly maxVersion: number }[],
): void {
  for (const [name, version] of oldest) {
    const { maxVersion = -1 } = apis.find((each) => each.name === name) ?? {};
    if (maxVersion >= version) continue;
    throw new WaybillError(
      "NOT_SUPPORTED",
      `The broker is too old: it has ${name} up to version ${maxVersion}, and ${version} is needed. Update it to Kafka 2.8 or newer.`,
    );
  }
}

/** Requests without which nothing goes: record headers and idempotent producers, groups whose members are named, topics with the brokers' own number of copies. */
const oldest = [
  ["Produce", 3],
  ["Fetch", 4],
  ["InitProducerId", 0],
  ["JoinGroup", 4],
  ["OffsetCommit", 2],
  ["CreateTopics", 2],
] as const;
