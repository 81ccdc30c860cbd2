import {
  type Delivery,
  type Environment,
  type Envelope,
  type Inspection,
  type ListQuery,
  type Logger,
  type ReceiveOptions,
  type Source,
  type StoredMessage,
  type Topology,
  type Transport,
  type TransportFactory,
  systemEnvironment,
} from "@waybill/core";
import { reallyWait } from "../environment.ts";
import { assertBalanced } from "./accounts.ts";
import { stallingEnvironment } from "../stall.ts";
import { topology } from "./messages.ts";
import { Probe } from "./probe.ts";

/** What the suite tests: a broker of its own for each case. */
export interface SuiteSubject {
  readonly factory: TransportFactory;
  /** Default: the machine's. Give a fake one together with `pass`. */
  readonly environment?: Environment;
  /** Lets that many milliseconds go by. Default: really waits. */
  readonly pass?: (ms: number) => Promise<void>;
  /**
   * Another way to the same broker, which can go dead. For a broker that knows a dead process by its connection
   * (`capabilities.lock`); for others a process that falls silent is one whose timers stand still.
   */
  readonly detour?: () => Promise<Detour>;
  /** How long the suite waits for what a broker does by itself; more than it takes to notice a dead process. Default 5,000. */
  readonly patienceMs?: number;
  /** Brings a topology onto the broker as an operator does, for who may create nothing. Default: another connection declares it. */
  readonly prepare?: (topology: Topology) => Promise<void>;
  /** Removes what the case left behind. */
  dispose(): Promise<void>;
}

export interface Detour {
  readonly factory: TransportFactory;
  cut(): void;
  mend(): void;
}

/** Another process's connection, which can fall silent. */
export interface Silenceable {
  readonly transport: Transport;
  silence(): void;
  wake(): void;
}

export interface OpenOptions {
  readonly environment?: Environment;
  /** Default: the subject's. */
  readonly factory?: TransportFactory;
  /** As `TransportHost.mayCreate`. Default true. */
  readonly mayCreate?: boolean;
}

/** A connection, and a queue on it. */
export interface QueueSetting {
  readonly transport: Transport;
  readonly queue: string;
  readonly source: Source;
}

/** An event that nobody subscribes to, as a connection was told of it. */
export interface Unrouted {
  readonly envelope: Envelope;
  readonly topic: string;
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };
const patienceDefaultMs = 5_000;
const receiveDefault: ReceiveOptions = { prefetch: 100, prefetchBytes: 10_000_000, lockMs: 10_000 };

/** What a case plays on: connections to one broker, names of its own, and time. */
export class Stage {
  readonly environment: Environment;
  readonly #subject: SuiteSubject;
  readonly #opened = new Map<Transport, readonly Unrouted[]>();
  readonly #duplicates = new Map<Transport, readonly Envelope[]>();
  readonly #prefix: string;

  constructor(subject: SuiteSubject) {
    this.#subject = subject;
    this.environment = subject.environment ?? systemEnvironment;
    this.#prefix = `suite-${this.environment.id().replaceAll("-", "").slice(-12)}`;
  }

  /** Opens another process's connection that can fall silent, as if it were suspended or cut off. */
  async openSilenceable(): Promise<Silenceable> {
    const detour = await this.#subject.detour?.();
    if (detour !== undefined)
      return {
        transport: await this.open({ factory: detour.factory }),
        silence: () => detour.cut(),
        wake: () => detour.mend(),
      };
    const environment = stallingEnvironment(this.environment);
    return {
      transport: await this.open({ environment }),
      silence: () => environment.stall(),
      wake: () => environment.wake(),
    };
  }

  /** Opens another process's connection. */
  async open(options: OpenOptions = {}): Promise<Transport> {
    const { environment = this.environment, factory = this.#subject.factory } = options;
    const { mayCreate = true } = options;
    const instance = `${this.#prefix}-${this.#opened.size + 1}`;
    const told: Unrouted[] = [];
    const duplicates: Envelope[] = [];
    const transport = await factory.open({
      environment,
      logger: silent,
      instance,
      unrouted: (envelope, topic) => void told.push({ envelope, topic }),
      duplicate: (envelope) => void duplicates.push(envelope),
      mayCreate,
    });
    this.#opened.set(transport, told);
    this.#duplicates.set(transport, duplicates);
    return transport;
  }

  /** What that connection was told of until now, in order. */
  unrouted(transport: Transport): readonly Unrouted[] {
    return this.#opened.get(transport) ?? [];
  }

  /** Ids of what that connection sent and its destinations remembered, in order. */
  duplicates(transport: Transport): readonly string[] {
    return (this.#duplicates.get(transport) ?? []).map(({ header }) => header.id);
  }

  /** Whatever the case did, the books balance. */
  async audit(): Promise<void> {
    const transport = await this.open();
    if (transport.capabilities.conservation === "exact") await assertBalanced(transport);
  }

  async close(): Promise<void> {
    for (const transport of this.#opened.keys()) await transport[Symbol.asyncDispose]();
    await this.#subject.dispose();
  }

  /** A name that no other case uses on the same broker. */
  name(word: string): string {
    return `${this.#prefix}.${word}`;
  }

  now(): number {
    return this.environment.clock.now();
  }

  async pass(ms: number): Promise<void> {
    await (this.#subject.pass ?? reallyWait)(ms);
  }

  /** Waits until something holds; fails with what it was when it does not in time. */
  async until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    const { patienceMs = patienceDefaultMs } = this.#subject;
    // By its own steps: on a busy machine they come late, and so does what is waited for.
    for (let waitedMs = 0; !(await holds()); waitedMs += stepMs) {
      if (waitedMs >= patienceMs) throw new Error(`waited ${patienceMs} ms in vain for: ${what}`);
      await this.pass(stepMs);
    }
  }

  /** Receives into a probe, which settles nothing unless it is told to. */
  receive(transport: Transport, source: Source, options: ProbeOptions = {}): Probe {
    const { onDelivery, ...given } = options;
    const parts = { transport, source, options: { ...receiveDefault, ...given } };
    return new Probe(this, onDelivery === undefined ? parts : { ...parts, onDelivery });
  }

  /** Opens a connection on which that topology is declared. */
  async declared(parts: Partial<Topology>): Promise<Transport> {
    const transport = await this.open();
    await transport.declare(topology(parts));
    return transport;
  }

  /** Brings that topology onto the broker, with everything that may be needed later. */
  async prepared(parts: Partial<Topology>): Promise<void> {
    const asked = topology(parts);
    if (this.#subject.prepare === undefined) await this.declared(asked);
    else await this.#subject.prepare(asked);
  }

  /** Opens a connection with one queue, and gives the queue's name with it. */
  async withQueue(word = "queue"): Promise<QueueSetting> {
    const queue = this.name(word);
    const transport = await this.declared({ queues: [{ name: queue }] });
    return { transport, queue, source: { kind: "queue", name: queue } };
  }

  /** Waits until so many messages are in that state. */
  async listed(
    inspection: Inspection,
    query: Omit<ListQuery, "limit">,
    count: number,
  ): Promise<readonly StoredMessage[]> {
    let found: readonly StoredMessage[] = [];
    await this.until(`${count} messages that are ${query.state}`, async () => {
      found = await inspection.list({ ...query, limit: 1_000 });
      return found.length >= count;
    });
    return found;
  }
}

type ProbeOptions = Partial<ReceiveOptions> & {
  readonly onDelivery?: (delivery: Delivery) => void;
};

const stepMs = 4;
