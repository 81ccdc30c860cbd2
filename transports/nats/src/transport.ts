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
  addressOf,
  refuseDiscrepancies,
  temporaryPart,
} from "@waybill/core";
import { assertRules } from "@waybill/core/adapter";
import { Addresses } from "./addresses.ts";
import { Aside } from "./aside.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { type DeclareParts, declare, declareNotes } from "./declare.ts";
import { Draining } from "./draining.ts";
import { brokerError, closedError } from "./errors.ts";
import { NatsInspection } from "./inspection.ts";
import { Interest } from "./interest.ts";
import { type Link, openLink, watch } from "./link.ts";
import { reservedBytes } from "./message.ts";
import { Notes } from "./notes.ts";
import type { Settings } from "./options.ts";
import { Outbound } from "./outbound.ts";
import { Patience } from "./patience.ts";
import { Publisher } from "./publisher.ts";
import { NatsReceiver } from "./receiver.ts";
import { Records } from "./records.ts";
import { Settling } from "./settling.ts";
import { Groups } from "./streams/groups.ts";
import { Logs } from "./streams/logs.ts";
import { Standing } from "./standing.ts";
import { StreamReceiver } from "./streams/receiver.ts";
import { Temporary } from "./temporary.ts";
import { Names } from "./topology.ts";
import { lackingOf } from "./verifying.ts";

/** For leaving in order; then the connection ends, whatever the server says. */
const closeMs = 1_000;

/** One bus on NATS: one connection. */
export class NatsTransport implements Transport {
  readonly name = "nats";
  readonly capabilities: Capabilities;
  readonly inspection: Inspection;
  readonly #host: TransportHost;
  readonly #link: Link;
  readonly #names: Names;
  readonly #declaring: DeclareParts;
  readonly #patience: Patience;
  readonly #outbound: Outbound;
  readonly #notes: Notes;
  /** For one receiver. */
  readonly #settling: () => Settling;
  readonly #temporary: Temporary;
  readonly #aside: Aside;
  readonly #logs: Logs;
  readonly #records: Records;
  readonly #receivers = new Set<NatsReceiver | StreamReceiver>();
  /** What this process has declared: others may delete it. */
  readonly #declared: Topology[] = [];
  #closed: Promise<void> | undefined;

  static async open(settings: Settings, host: TransportHost): Promise<Transport> {
    const link = await openLink(settings, host);
    try {
      const transport = new NatsTransport(settings, host, link);
      if (host.mayCreate !== false) await declareNotes(transport.#declaring);
      return transport;
    } catch (error) {
      await link.connection.close();
      throw brokerError("Connecting to NATS", error);
    }
  }

  private constructor(settings: Settings, host: TransportHost, link: Link) {
    const { environment, logger } = host;
    const names = new Names(settings.prefix);
    const bodyBytesMax = (link.connection.info?.max_payload ?? 0) - reservedBytes;
    this.#host = host;
    this.#link = link;
    this.#names = names;
    this.capabilities = capabilitiesOf(bodyBytesMax, settings.replicas);
    this.#declaring = { link, names, settings, mayCreate: host.mayCreate !== false };
    const standing = new Standing({ link, environment });
    const patience = new Patience(environment);
    const publisher = new Publisher({ link, settings, standing, patience });
    const aside = new Aside({ ...this.#declaring, publisher, bodyBytesMax });
    const interest = new Interest({ link, names, settings, environment, standing, patience });
    const logs = new Logs(this.#declaring);
    const records = new Records({ link, environment, stream: names.groupsStream });
    const outbound = new Outbound({ names, publisher, interest, aside, logs, host, bodyBytesMax });
    const notes = new Notes({ link, names, publisher, id: () => environment.id() });
    const settling = (): Settling => new Settling({ link, notes, aside, outbound, environment });
    const groups = new Groups({
      ...this.#declaring,
      publisher,
      records,
      logs,
      environment,
      bodyBytesMax,
    });
    const addresses = new Addresses({ link, names, groups });
    const draining = new Draining({
      link,
      addresses,
      names,
      notes,
      settling: settling(),
      environment,
    });
    this.#patience = patience;
    this.#outbound = outbound;
    this.#notes = notes;
    this.#settling = settling;
    this.#temporary = new Temporary({ link, names, environment });
    this.#aside = aside;
    this.#logs = logs;
    this.#records = records;
    this.inspection = new NatsInspection({
      addresses,
      aside,
      outbound,
      groups,
      assertOpen: () => this.#assertOpen(),
      drain: (address) => draining.drain(address),
    });
    void watch(link, logger, () => {
      for (const receiver of this.#receivers) receiver.reconnected();
    });
  }

  async declare(topology: Topology): Promise<void> {
    this.#assertOpen();
    assertRules(topology);
    try {
      if (this.#host.mayCreate === false)
        refuseDiscrepancies(this.name, await lackingOf(topology, this.#declaring));
      await this.#temporary.note(topology);
      await this.#make(this.#makeable(topology));
    } catch (error) {
      throw brokerError("Declaring", error);
    }
    this.#declared.push(topology);
  }

  async send(batch: readonly Outgoing[]): Promise<void> {
    this.#assertOpen();
    return this.#outbound.send(batch);
  }

  receive(source: Source, options: ReceiveOptions, listener: Listener): Receiver {
    this.#assertOpen();
    const parts = {
      options,
      listener,
      link: this.#link,
      names: this.#names,
      environment: this.#host.environment,
      restore: () => this.#redeclare(),
      onEnd: (ended: NatsReceiver | StreamReceiver) => this.#receivers.delete(ended),
    };
    const receiver =
      source.kind === "stream"
        ? new StreamReceiver({
            ...parts,
            group: { stream: source.name, group: source.group },
            records: this.#records,
            logs: this.#logs,
            aside: this.#aside,
            outbound: this.#outbound,
          })
        : new NatsReceiver({
            ...parts,
            place: this.#names.place(source, this.#temporary.has(addressOf(source))),
            subscription: source.kind === "subscription" ? source.name : undefined,
            notes: this.#notes,
            settling: this.#settling(),
            mayChange: this.#host.mayCreate !== false,
          });
    this.#receivers.add(receiver);
    return receiver;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return (this.#closed ??= this.#close());
  }

  /** In order where the line is alive; on a dead one within `closeMs`, and what was held comes again when its lease runs out. */
  async #close(): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = this.#host.environment.timers.set(resolve, closeMs);
    await Promise.race([this.#leave(), late]);
    timer.cancel();
    this.#patience.close();
    await Promise.race([this.#link.connection.close(), late]);
  }

  async #leave(): Promise<void> {
    await Promise.all([...this.#receivers].map((receiver) => receiver.close()));
    this.#patience.close();
    await this.#temporary.end();
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw closedError();
  }

  async #redeclare(): Promise<void> {
    if (this.#host.mayCreate !== false) await declareNotes(this.#declaring);
    for (const topology of this.#declared) await this.#make(this.#makeable(topology));
  }

  async #make(topology: Topology): Promise<void> {
    await declare(this.#declaring, topology);
    for (const stream of topology.streams) await this.#logs.declare(stream);
  }

  #makeable(topology: Topology): Topology {
    return this.#host.mayCreate === false ? temporaryPart(topology) : topology;
  }
}
