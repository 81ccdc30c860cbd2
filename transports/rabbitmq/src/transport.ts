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
  permanentPart,
  temporaryPart,
} from "@waybill/core";
import type { ChannelModel } from "amqplib";
import { capabilitiesOf } from "./capabilities.ts";
import { assertDeclarable, declare, singleAlready, singlesOf } from "./declare.ts";
import { ended } from "./ending.ts";
import { messageOf } from "./errors.ts";
import { RabbitmqInspection } from "./inspection.ts";
import { Link, closedError } from "./link.ts";
import type { Settings } from "./options.ts";
import { Outbound } from "./outbound.ts";
import type { Plan } from "./plan.ts";
import { type Parcel, Publisher } from "./publisher.ts";
import { Registry } from "./registry.ts";
import { Releases } from "./releases.ts";
import { Streams } from "./streams/streams.ts";
import { RabbitmqReceiver } from "./receiver.ts";
import { ShortChannels } from "./short-channels.ts";
import { Names } from "./topology.ts";
import { verified } from "./verifying.ts";

interface Place {
  readonly queue: string;
  readonly address: string;
}

/** A server that is out of reach answers no farewell: so long is waited for one. */
const closeMs = 1_000;

/**
 * One bus on RabbitMQ: a connection that publishes and one that consumes, as RabbitMQ advises, so that a broker that is short of memory and
 * stops publishers still takes acknowledgements.
 */
export class RabbitmqTransport implements Transport {
  readonly name = "rabbitmq";
  #capabilities: Capabilities;
  readonly inspection: Inspection;
  readonly #host: TransportHost;
  readonly #mayCreate: boolean;
  readonly #settings: Settings;
  readonly #names: Names;
  readonly #publishing: Link;
  readonly #consuming: Link;
  readonly #channels: ShortChannels;
  readonly #publisher: Publisher;
  readonly #outbound: Outbound;
  readonly #releases: Releases;
  readonly #registry: Registry;
  readonly #streams: Streams;
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
      await transport.#discover();
    } catch (error) {
      await transport[Symbol.asyncDispose]();
      throw error;
    }
    transport.#publisher.start();
    return transport;
  }

  private constructor(settings: Settings, host: TransportHost) {
    this.#host = host;
    this.#mayCreate = host.mayCreate !== false;
    this.#names = new Names(settings.prefix, settings.system);
    this.#settings = settings;
    this.#capabilities = capabilitiesOf(settings, { streams: true });
    const { environment, logger, instance } = host;
    const parts = { settings, environment, logger };
    this.#consuming = new Link({
      ...parts,
      name: `${instance} (consumes)`,
      restore: (model) => this.#restore(model),
    });
    this.#channels = new ShortChannels(this.#consuming);
    this.#publishing = new Link({ ...parts, name: `${instance} (publishes)` });
    this.#publisher = new Publisher({
      link: this.#publishing,
      settings,
      environment,
      fault: (error) => logger.warn(error.message, { code: error.code }),
      exists: (exchange) => this.#channels.hasExchange(exchange),
    });
    const send = (parcel: Parcel): Promise<void> => this.#outbound.sendParcels([parcel]);
    const log = { link: this.#consuming, environment, logger, send };
    this.#releases = new Releases({ ...log, queue: this.#names.released });
    const make = (): Promise<void> => this.#makeRegistry();
    this.#registry = new Registry({ ...log, queue: this.#names.registry, make });
    this.#streams = new Streams({
      names: this.#names,
      link: this.#consuming,
      host,
      channel: (work) => this.#channels.on(work),
      exists: (queue) => this.#channels.hasQueue(queue),
      send,
      move: (item, settlement, queue) => this.#outbound.moveItem(item, settlement, queue),
      replays: (place, listener, options) => this.#receiveFrom(place, options, listener),
    });
    this.#outbound = new Outbound({
      names: this.#names,
      publisher: this.#publisher,
      settings,
      host,
      ask: (work, doing) => this.#channels.on(work, doing),
      exists: (exchange) => this.#channels.hasExchange(exchange),
      streams: this.#streams,
    });
    this.inspection = new RabbitmqInspection({
      names: this.#names,
      environment,
      bodyBytesMax: settings.bodyBytesMax,
      assertOpen: () => this.#assertOpen(),
      open: async () => (await this.#consuming.model()).createChannel(),
      channel: (work) => this.#channels.on(work),
      send: async (parcels) => (await this.#publisher.send(parcels)).length === 0,
      declared: () => this.#declared,
      known: () => this.#registry.declared(),
      streams: this.#streams,
    });
  }

  get capabilities(): Capabilities {
    return this.#capabilities;
  }

  async declare(topology: Topology): Promise<void> {
    this.#assertOpen();
    assertDeclarable(topology, this.capabilities);
    for (const queue of singlesOf(topology, this.#names)) this.#singles.add(queue);
    if (!this.#mayCreate) this.#outbound.assume(await this.#verified(topology));
    await this.#make(topology);
    this.#declared.push(topology);
    this.#outbound.learn(topology);
    await this.#registry.add(topology);
  }

  async send(batch: readonly Outgoing[]): Promise<void> {
    this.#assertOpen();
    await this.#outbound.send(batch);
  }

  receive(source: Source, options: ReceiveOptions, listener: Listener): Receiver {
    this.#assertOpen();
    if (source.kind === "stream") return this.#streams.receive(source, options, listener);
    const place = { queue: this.#names.queueOf(source), address: addressOf(source) };
    return this.#receiveFrom(place, options, listener);
  }

  #receiveFrom(
    { queue, address }: Place,
    options: ReceiveOptions,
    listener: Listener,
  ): RabbitmqReceiver {
    const receiver: RabbitmqReceiver = new RabbitmqReceiver({
      queue,
      isSingle: this.#singles.has(queue),
      address,
      options,
      listener,
      link: this.#consuming,
      environment: this.#host.environment,
      move: (delivery, settlement) => this.#outbound.move(delivery, settlement, queue),
      note: (deliveries) => this.#releases.note(queue, deliveries),
      count: (deliveries) => this.#releases.count(queue, deliveries),
      restore: () => this.#redeclare(),
      onEnd: () => this.#receivers.delete(receiver),
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
    // On a dead line nothing was left in order; whoever waits for a confirmation must learn that none comes.
    void this.#publisher.close();
    for (const link of [this.#publishing, this.#consuming]) link.destroy();
  }

  async #leave(): Promise<void> {
    await this.#streams.close();
    await Promise.all([...this.#receivers].map((receiver) => receiver.close()));
    await this.#releases.close();
    await this.#registry.close();
    await this.#publisher.close();
    await this.#publishing[Symbol.asyncDispose]();
    await this.#consuming[Symbol.asyncDispose]();
  }

  /** Whether the server has streams, and this user the right to make one. */
  async #discover(): Promise<void> {
    try {
      await this.#channels.on(
        (channel): Promise<unknown> =>
          this.#mayCreate
            ? Releases.declare(channel, this.#names.released)
            : channel.checkQueue(this.#names.released),
        "Declaring",
      );
    } catch (error) {
      if (error instanceof WaybillError && error.retryable) throw error;
      this.#capabilities = capabilitiesOf(this.#settings, { streams: false });
      this.#host.logger.warn(
        `What is given back untouched counts as an attempt: ${messageOf(error)}`,
      );
    }
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
    await ended(channel);
  }

  #verified(topology: Topology): Promise<Plan> {
    return verified(topology, {
      names: this.#names,
      open: async () => (await this.#consuming.model()).createChannel(),
      single: (queue) => void this.#singles.add(queue),
    });
  }

  async #redeclare(): Promise<void> {
    for (const topology of this.#declared) {
      await this.#make(topology);
      await this.#outbound.rebind(permanentPart(topology));
      await this.#registry.add(topology);
    }
  }

  async #makeRegistry(): Promise<void> {
    const { registry } = this.#names;
    if (this.#mayCreate) await this.#channels.on((channel) => Registry.declare(channel, registry));
  }

  async #make(whole: Topology): Promise<void> {
    const topology = this.#mayCreate ? whole : temporaryPart(whole);
    const parts = { names: this.#names, singles: this.#singles };
    for (const spec of topology.streams) await this.#streams.declare(spec);
    for (;;)
      try {
        return await this.#channels.on((channel) => declare(channel, topology, parts), "Declaring");
      } catch (error) {
        const queue = error instanceof WaybillError ? singleAlready(error) : undefined;
        if (queue === undefined || this.#singles.has(queue)) throw error;
        this.#singles.add(queue);
      }
  }
}
