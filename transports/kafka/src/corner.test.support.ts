import {
  type Delivery,
  type Listener,
  type Logger,
  type Outgoing,
  type ReceiveOptions,
  type Receiver,
  type Topology,
  type Transport,
  type TransportFactory,
  type WaybillError,
  systemEnvironment,
} from "@waybill/core";
import type { ChaosSubject } from "@waybill/testkit";
import { Admin, Consumer, Producer } from "@platformatic/kafka";
import { makeByHand } from "./by-hand.test.support.ts";
import { definitionsOf } from "./definitions.ts";
import { isMissing } from "./errors.ts";
import { type KafkaOptions, kafka } from "./index.ts";
import { settingsOf } from "./options.ts";
import { Names } from "./topology.ts";

export const port = 9092;
/** The shortest that brokers allow unless they are told otherwise. */
const sessionTimeoutMs = 6_000;
export const ignore = (): void => undefined;
export const logger: Logger = { debug: ignore, info: ignore, warn: ignore, error: ignore };

export function open(factory: TransportFactory): Promise<Transport> {
  return factory.open({
    environment: systemEnvironment,
    logger,
    instance: systemEnvironment.id(),
    unrouted: ignore,
  });
}

/** A corner of a broker that tests share: topics and groups of its own, removed at the end. */
export class Corner implements AsyncDisposable {
  readonly prefix: string = `test-${systemEnvironment.id().replaceAll("-", "").slice(-12)}`;
  readonly names: Names = new Names(this.prefix);
  readonly #brokers: string[];
  readonly #closing: (() => Promise<unknown>)[] = [];

  constructor(at: number = port) {
    this.#brokers = [`127.0.0.1:${at}`];
  }

  factory(options: Partial<KafkaOptions> = {}): TransportFactory {
    const url = `kafka://${this.#brokers[0]}`;
    return kafka({ url, prefix: this.prefix, sessionTimeoutMs, heartbeatMs: 100, ...options });
  }

  /** By way of another port: brokers give their own as where they are reached. */
  through(by: number): TransportFactory {
    return this.factory({
      url: `kafka://127.0.0.1:${by}`,
      reach: () => ({ host: "127.0.0.1", port: by }),
      connectTimeoutMs: 2_500,
      requestTimeoutMs: 2_500,
    });
  }

  /** For `connect`. */
  get options(): { readonly transport: TransportFactory; readonly logger: Logger } {
    return { transport: this.factory(), logger };
  }

  /** Closed with the corner. */
  async open(options: Partial<KafkaOptions> = {}): Promise<Transport> {
    const transport = await open(this.factory(options));
    this.#closing.push(async () => transport[Symbol.asyncDispose]());
    return transport;
  }

  /** With a stream of that name. */
  async withStream(stream: string, partitions: number): Promise<Transport> {
    const transport = await this.open();
    const streams = [{ name: stream, partitions, retention: {} }];
    await transport.declare({ queues: [], topics: [], subscriptions: [], streams });
    return transport;
  }

  /** Makes by hand what a topology needs. */
  async prepare(topology: Topology): Promise<void> {
    const settings = settingsOf({ url: `kafka://${this.#brokers[0]}`, prefix: this.prefix });
    await makeByHand(this.admin(), definitionsOf(topology, settings).data);
  }

  /** Clients that know nothing of Waybill. */
  producer(options: { readonly transactionalId?: string } = {}): Producer {
    const idempotent = options.transactionalId !== undefined;
    const producer = new Producer({ ...this.#plain, idempotent, ...options });
    this.#closing.push(() => producer.close());
    return producer;
  }

  consumer(group: string): Consumer {
    const consumer = new Consumer({ ...this.#plain, groupId: `${this.prefix}.plain.${group}` });
    this.#closing.push(() => consumer.close(true));
    return consumer;
  }

  admin(): Admin {
    const admin = new Admin(this.#plain);
    this.#closing.push(() => admin.close());
    return admin;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closing.toReversed()) await close();
    await clean(this.#plain.bootstrapBrokers, this.prefix);
  }

  get #plain(): { readonly clientId: string; readonly bootstrapBrokers: string[] } {
    return { clientId: "plain", bootstrapBrokers: this.#brokers };
  }
}

/** Removes every topic and group whose name begins with that prefix, and with it all that lies in it. */
async function clean(bootstrapBrokers: string[], prefix: string): Promise<void> {
  const admin = new Admin({ clientId: "cleaning", bootstrapBrokers });
  const isOurs = (name: string): boolean => name.startsWith(`${prefix}.`);
  try {
    const topics = (await admin.listTopics()).filter(isOurs);
    // What a transport removed a moment ago is listed until the broker hears of it; of the others each is deleted all the same.
    if (topics.length > 0)
      await admin.deleteTopics({ topics }).catch((error: unknown) => {
        if (!isMissing(error)) throw error;
      });
    // One that still has a member stays, and goes when Kafka forgets it.
    for (const group of [...(await admin.listGroups()).keys()].filter(isOurs))
      await admin.deleteGroups({ groups: [group] }).catch(ignore);
  } finally {
    await admin.close();
  }
}

export function subject(): ChaosSubject {
  const corner = new Corner();
  return {
    factory: corner.factory(),
    patienceMs: 4 * sessionTimeoutMs,
    target: { port },
    through: (by) => corner.through(by),
    prepare: (topology) => corner.prepare(topology),
    dispose: () => corner[Symbol.asyncDispose](),
  };
}

/** A command for the queue `orders`. */
export function message(id: string): Outgoing {
  return {
    to: { kind: "queue", name: "orders" },
    envelope: {
      header: {
        specversion: "1.0",
        id,
        source: "/test",
        type: "orders.place",
        time: new Date(0).toISOString(),
        datacontenttype: "text/plain",
        conversationid: id,
      },
      body: id,
    },
  };
}

/** Items with those keys in turn: the body is `key:number`. */
export function appended(stream: string, count: number, keys: readonly string[]): Outgoing[] {
  return Array.from({ length: count }, (_, index) => {
    const partitionkey = keys[index % keys.length] ?? "key";
    const body = `${partitionkey}:${index}`;
    const header = {
      specversion: "1.0",
      id: body,
      source: "/services/test",
      type: "test.item",
      time: "2030-01-01T00:00:00.000Z",
      datacontenttype: "text/plain",
      conversationid: "test",
      partitionkey,
    } as const;
    return { to: { kind: "stream", name: stream }, envelope: { header, body } };
  });
}

/** A receiver that writes down what comes, and settles nothing unless it is told to. */
export class Reading implements Listener {
  readonly deliveries: Delivery[] = [];
  readonly lost: Delivery[] = [];
  readonly faults: WaybillError[] = [];
  readonly receiver: Receiver;
  readonly #onDelivery: (delivery: Delivery) => void;

  constructor(
    transport: Transport,
    stream: string,
    { onDelivery = ignore, ...options }: ReadingOptions = {},
  ) {
    this.#onDelivery = onDelivery;
    this.receiver = transport.receive(
      { kind: "stream", name: stream, group: "readers" },
      { prefetch: 100, prefetchBytes: 10_000_000, lockMs: 1_000, ...options },
      this,
    );
  }

  get bodies(): readonly string[] {
    return this.deliveries.map(({ envelope }) => Buffer.from(envelope.body).toString());
  }

  deliver(batch: readonly Delivery[]): void {
    for (const delivery of batch) {
      delivery.onLockLost = () => void this.lost.push(delivery);
      this.deliveries.push(delivery);
      this.#onDelivery(delivery);
    }
  }

  fault(error: WaybillError): void {
    this.faults.push(error);
  }
}

interface ReadingOptions extends Partial<ReceiveOptions> {
  readonly onDelivery?: (delivery: Delivery) => void;
}

export const complete: (delivery: Delivery) => void = (delivery) =>
  void delivery.settle({ kind: "complete" });

/** Waits until the condition holds; fails with its text after so many milliseconds. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  patienceMs = 60_000,
): Promise<void> {
  const { clock, timers } = systemEnvironment;
  const giveUpAt = clock.monotonic() + patienceMs;
  while (!(await condition())) {
    if (clock.monotonic() > giveUpAt) throw new Error(`never happened: ${what}`);
    await new Promise<void>((resolve) => timers.set(resolve, 5));
  }
}
