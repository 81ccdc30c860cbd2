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
  addressOf,
  compileRule,
} from "@waybill/core";
import type { Rule } from "@waybill/contracts";
import type { Channel, ChannelModel } from "amqplib";
import { capabilitiesOf } from "./capabilities.ts";
import { declare, singleAlready, singlesOf, temporaryPart } from "./declare.ts";
import { brokerError, messageOf } from "./errors.ts";
import { RabbitmqInspection } from "./inspection.ts";
import { Link, closedError } from "./link.ts";
import type { Settings } from "./options.ts";
import { Outbound } from "./outbound.ts";
import { Publisher } from "./publisher.ts";
import { RabbitmqReceiver } from "./receiver.ts";
import { Names } from "./topology.ts";

/** A server that is out of reach answers no farewell: so long is waited for one. */
const closeMs = 1_000;

/**
 * One bus on RabbitMQ: a connection that publishes and one that consumes, as RabbitMQ advises, so that a broker that is short of memory and
 * stops publishers still takes acknowledgements.
 */
export class RabbitmqTransport implements Transport {
  readonly name = "rabbitmq";
  readonly capabilities: Capabilities;
  readonly inspection: Inspection;
  readonly #host: TransportHost;
  readonly #names: Names;
  readonly #publishing: Link;
  readonly #consuming: Link;
  readonly #publisher: Publisher;
  readonly #outbound: Outbound;
  readonly #receivers = new Set<RabbitmqReceiver>();
  /** What this process has declared: temporary queues die with the connection, and others may delete the rest. */
  readonly #declared: Topology[] = [];
  /** Queues that one consumer at a time has. */
  readonly #singles = new Set<string>();
  #closed: Promise<void> | undefined;

  static async open(settings: Settings, host: TransportHost): Promise<Transport> {
    const transport = new RabbitmqTransport(settings, host);
    try {
      await transport.#consuming.open();
      await transport.#publishing.open();
    } catch (error) {
      await transport[Symbol.asyncDispose]();
      throw error;
    }
    transport.#publisher.start();
    return transport;
  }

  private constructor(settings: Settings, host: TransportHost) {
    this.#host = host;
    this.#names = new Names(settings.prefix);
    this.capabilities = capabilitiesOf(settings);
    const { environment, logger, instance } = host;
    const parts = { settings, environment, logger };
    this.#consuming = new Link({
      ...parts,
      name: `${instance} (consumes)`,
      restore: (model) => this.#restore(model),
    });
    this.#publishing = new Link({ ...parts, name: `${instance} (publishes)` });
    this.#publisher = new Publisher({
      link: this.#publishing,
      settings,
      environment,
      fault: (error) => logger.warn(error.message, { code: error.code }),
      exists: (exchange) => this.#exists(exchange),
    });
    this.#outbound = new Outbound({
      names: this.#names,
      publisher: this.#publisher,
      settings,
      host,
      ask: (work, doing) => this.#onChannel(work, doing),
      exists: (exchange) => this.#exists(exchange),
    });
    this.inspection = new RabbitmqInspection({
      names: this.#names,
      environment,
      bodyBytesMax: settings.bodyBytesMax,
      assertOpen: () => this.#assertOpen(),
      open: async () => (await this.#consuming.model()).createChannel(),
      channel: (work) => this.#onChannel(work),
      send: async (parcels) => (await this.#publisher.send(parcels)).length === 0,
      declared: () => this.#declared,
    });
  }

  async declare(topology: Topology): Promise<void> {
    this.#assertOpen();
    assertDeclarable(topology);
    for (const queue of singlesOf(topology, this.#names)) this.#singles.add(queue);
    await this.#make(topology);
    this.#declared.push(topology);
    this.#outbound.learn(topology);
  }

  async send(batch: readonly Outgoing[]): Promise<void> {
    this.#assertOpen();
    await this.#outbound.send(batch);
  }

  receive(source: Source, options: ReceiveOptions, listener: Listener): Receiver {
    this.#assertOpen();
    if (source.kind === "stream")
      throw new WaybillError("NOT_SUPPORTED", "This transport has no streams yet.");
    const queue = this.#names.queueOf(source);
    const receiver = new RabbitmqReceiver({
      queue,
      isSingle: this.#singles.has(queue),
      address: addressOf(source),
      options,
      listener,
      link: this.#consuming,
      environment: this.#host.environment,
      move: (delivery, settlement) => this.#outbound.move(delivery, settlement, queue),
      restore: () => this.#redeclare(),
      onEnd: (ended) => this.#receivers.delete(ended),
    });
    this.#receivers.add(receiver);
    return receiver;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  async #close(): Promise<void> {
    const { timers } = this.#host.environment;
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = timers.set(resolve, closeMs);
    await Promise.race([this.#leave(), late]);
    timer.cancel();
    for (const link of [this.#publishing, this.#consuming]) link.destroy();
  }

  async #leave(): Promise<void> {
    await Promise.all([...this.#receivers].map((receiver) => receiver.close()));
    await this.#publisher.close();
    await this.#publishing[Symbol.asyncDispose]();
    await this.#consuming[Symbol.asyncDispose]();
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw closedError();
  }

  async #restore(model: ChannelModel): Promise<void> {
    this.#outbound.forget();
    const channel = await model.createChannel();
    channel.on("error", () => undefined);
    const parts = { names: this.#names, singles: this.#singles };
    for (const topology of this.#declared) await declare(channel, temporaryPart(topology), parts);
    await channel.close();
  }

  async #redeclare(): Promise<void> {
    for (const topology of this.#declared) await this.#make(topology);
  }

  async #make(topology: Topology): Promise<void> {
    const parts = { names: this.#names, singles: this.#singles };
    for (;;)
      try {
        return await this.#onChannel((channel) => declare(channel, topology, parts), "Declaring");
      } catch (error) {
        const queue = error instanceof WaybillError ? singleAlready(error) : undefined;
        if (queue === undefined || this.#singles.has(queue)) throw error;
        this.#singles.add(queue);
      }
  }

  /** A channel of its own: what the broker refuses ends it. */
  async #onChannel<Result>(
    work: (channel: Channel) => Promise<Result>,
    doing = "Asking RabbitMQ",
  ): Promise<Result> {
    let channel: Channel | undefined;
    try {
      channel = await (await this.#consuming.model()).createChannel();
      channel.on("error", () => undefined);
      return await work(channel);
    } catch (error) {
      throw brokerError(doing, error);
    } finally {
      await channel?.close().catch(() => undefined);
    }
  }

  async #exists(exchange: string): Promise<boolean> {
    try {
      await this.#onChannel((channel) => channel.checkExchange(exchange));
      return true;
    } catch (error) {
      if (error instanceof WaybillError && error.code === "NOT_FOUND") return false;
      throw error;
    }
  }
}

/** Throws NOT_SUPPORTED or WIRING_INVALID. */
function assertDeclarable({ streams, subscriptions }: Topology): void {
  for (const { accepts } of subscriptions)
    for (const { where } of accepts) if (where !== undefined) assertReadable(where);
  if (streams.length > 0)
    throw new WaybillError(
      "NOT_SUPPORTED",
      `RabbitMQ does not keep the stream "${streams[0]?.name}" yet.`,
    );
}

/** Throws WIRING_INVALID. */
function assertReadable(rule: Rule): void {
  try {
    compileRule(rule);
  } catch (cause) {
    throw new WaybillError("WIRING_INVALID", `A rule cannot be read: ${messageOf(cause)}.`, {
      cause,
    });
  }
}
