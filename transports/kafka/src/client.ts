import {
  type API,
  Admin,
  type Broker,
  type Callback,
  type CallbackWithPromise,
  type Connection,
  findErrorBy,
  kGetApi,
  kGetBootstrapConnection,
  kGetConnection,
} from "@platformatic/kafka";
import type { Environment } from "@waybill/core";
import type { Settings } from "./options.ts";

/** A topic as the brokers describe it. */
export interface TopicInfo {
  readonly name: string;
  readonly id: string;
  /** The broker that leads each partition; undefined while none does. */
  readonly leaders: readonly (Broker | undefined)[];
}

/** What a client is for: Kafka answers one request of a connection after the other, so what waits must not stand before what hurries. */
export interface Purpose {
  readonly name: string;
  /** Default: `settings.requestTimeoutMs`. */
  readonly requestTimeoutMs?: number;
}

interface Known {
  readonly at: number;
  readonly topic: TopicInfo;
}

/** How long it is believed that a topic stands as it stood. */
const topicBelievedMs = 5_000;

/** Connections to the brokers of a cluster. Nothing is tried twice here: who asks knows better when. */
export class KafkaClient {
  /** What Kafka's own tools can do. */
  readonly admin: Admin;
  readonly #routed: RoutedAdmin;
  readonly #environment: Environment;
  readonly #topics = new Map<string, Known>();

  constructor(settings: Settings, environment: Environment, purpose: Purpose) {
    this.#routed = new RoutedAdmin(settings, purpose);
    this.admin = this.#routed;
    this.#environment = environment;
  }

  /** Undefined when there is none. */
  async topic(name: string, isInDoubt = false): Promise<TopicInfo | undefined> {
    const now = this.#environment.clock.monotonic();
    const known = this.#topics.get(name);
    if (!isInDoubt && known !== undefined && now - known.at < topicBelievedMs) return known.topic;
    this.#topics.delete(name);
    try {
      const wanted = { topics: [name], forceUpdate: true, retries: 0 };
      const { topics, brokers } = await this.admin.metadata(wanted);
      const found = topics.get(name);
      if (found === undefined) return undefined;
      const leaders = found.partitions.map(({ leader }) => brokers.get(leader));
      const topic = { name, id: found.id, leaders };
      this.#topics.set(name, { at: now, topic });
      return topic;
    } catch (thrown) {
      if (isUnknownTopic(thrown)) return undefined;
      throw thrown;
    }
  }

  forget(name: string): void {
    this.#topics.delete(name);
  }

  /** The broker that keeps a group. */
  async coordinator(group: string): Promise<Broker> {
    const response = await this.askAny<Coordinators>("FindCoordinator", 0, [group]);
    const [{ host, port } = { host: "", port: 0 }] = response.coordinators;
    return { host, port };
  }

  /** Asks that broker, by the newest version of the request that both know. */
  ask<Answer>(broker: Broker, name: string, ...args: readonly unknown[]): Promise<Answer> {
    return this.askVersioned(broker, name, () => args);
  }

  /** Of a request whose form depends on its version. */
  askVersioned<Answer>(
    broker: Broker,
    name: string,
    args: (version: number) => readonly unknown[],
  ): Promise<Answer> {
    const routed = this.#routed;
    return asked(routed, (callback) => routed[kGetConnection](broker, callback), { name, args });
  }

  askAny<Answer>(name: string, ...args: readonly unknown[]): Promise<Answer> {
    const routed = this.#routed;
    const connecting = (callback: Callback<Connection>): void =>
      routed[kGetBootstrapConnection](callback);
    return asked(routed, connecting, { name, args: () => args });
  }

  /** Closes every connection; what waits for an answer is rejected. */
  close(): Promise<void> {
    return this.admin.close();
  }
}

interface Question {
  readonly name: string;
  readonly args: (version: number) => readonly unknown[];
}

async function asked<Answer>(
  routed: RoutedAdmin,
  connecting: (callback: Callback<Connection>) => void,
  { name, args }: Question,
): Promise<Answer> {
  const connection = await called(connecting, name);
  const api = await called<API<unknown[], Answer>>((callback) => {
    routed[kGetApi](name, callback);
  }, name);
  return api.async(connection, ...args(api.version));
}

function called<Value>(call: (callback: Callback<Value>) => void, name: string): Promise<Value> {
  return new Promise((resolve, reject) => {
    call((error, value) => {
      if (value === undefined) reject(error ?? new Error(`Nothing answers for ${name}`));
      else resolve(value);
    });
  });
}

/** Finds brokers where `reach` says. */
class RoutedAdmin extends Admin {
  readonly #settings: Settings;

  constructor(settings: Settings, purpose: Purpose) {
    super(clientOptions(settings, purpose));
    this.#settings = settings;
  }

  override [kGetConnection](broker: Broker, callback: Callback<Connection>): void {
    // What is not in the cluster's metadata any more has no address; the pool says so.
    const known = broker as Broker | undefined;
    const reached = known === undefined ? broker : { ...this.#settings.reach(known) };
    this.connections.get(reached, callback as CallbackWithPromise<Connection>);
  }

  override [kGetBootstrapConnection](callback: Callback<Connection>, attempt = 0): void {
    const { brokers } = this.#settings;
    const from = attempt % brokers.length;
    const inTurn = [...brokers.slice(from), ...brokers.slice(0, from)];
    this.connections.getFirstAvailable(
      inTurn.map((each) => ({ ...each })),
      callback as CallbackWithPromise<Connection>,
    );
  }
}

interface Coordinators {
  readonly coordinators: readonly Broker[];
}

function clientOptions(
  settings: Settings,
  { name, requestTimeoutMs }: Purpose,
): ConstructorParameters<typeof Admin>[0] {
  const { brokers, prefix, sasl, tls } = settings;
  return {
    clientId: `${prefix}-${name}`,
    bootstrapBrokers: brokers.map((each) => ({ ...each })),
    connectTimeout: settings.connectTimeoutMs,
    requestTimeout: requestTimeoutMs ?? settings.requestTimeoutMs,
    timeout: settings.requestTimeoutMs,
    retries: 0,
    autocreateTopics: false,
    ...(tls !== undefined && { tls: { ...tls }, tlsServerName: true }),
    ...(sasl !== undefined && { sasl: { ...sasl } }),
  };
}

function isUnknownTopic(thrown: unknown): boolean {
  if (findErrorBy(thrown as Error, "apiId", "UNKNOWN_TOPIC_OR_PARTITION") !== null) return true;
  return thrown instanceof Error && thrown.message.startsWith("Unknown topic ");
}
