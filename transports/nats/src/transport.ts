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
import { Addresses } from "./addresses.ts";
import { Aside } from "./aside.ts";
import { capabilitiesOf } from "./capabilities.ts";
import { type DeclareParts, declare, declareNotes } from "./declare.ts";
import { Draining } from "./draining.ts";
import { brokerError, closedError, messageOf } from "./errors.ts";
import { NatsInspection } from "./inspection.ts";
import { Interest } from "./interest.ts";
import { type Link, openLink, watch } from "./link.ts";
import { reservedBytes } from "./message.ts";
import { Notes } from "./notes.ts";
import type { Settings } from "./options.ts";
import { Outbound } from "./outbound.ts";
import { Publisher } from "./publisher.ts";
import { NatsReceiver } from "./receiver.ts";
import { Settling } from "./settling.ts";
import { Temporary } from "./temporary.ts";
import { Names } from "./topology.ts";

/** One bus on NATS: one connection. */
export class NatsTransport implements Transport {
  readonly name = "nats";
  readonly capabilities: Capabilities;
  readonly inspection: Inspection;
  readonly #host: TransportHost;
  readonly #link: Link;
  readonly #names: Names;
  readonly #declaring: DeclareParts;
  readonly #publisher: Publisher;
  readonly #outbound: Outbound;
  readonly #notes: Notes;
  readonly #settling: Settling;
  readonly #temporary: Temporary;
  readonly #receivers = new Set<NatsReceiver>();
  /** What this process has declared: others may delete it. */
  readonly #declared: Topology[] = [];
  #closed: Promise<void> | undefined;

  static async open(settings: Settings, host: TransportHost): Promise<Transport> {
    const link = await openLink(settings, host);
    try {
      const transport = new NatsTransport(settings, host, link);
      await declareNotes(transport.#declaring);
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
    this.#declaring = { link, names, settings };
    const publisher = new Publisher({ link, settings, environment });
    const aside = new Aside({ ...this.#declaring, publisher, bodyBytesMax });
    const interest = new Interest({ link, names, environment });
    const outbound = new Outbound({ names, publisher, interest, aside, host, bodyBytesMax });
    const notes = new Notes({ link, names, publisher, id: () => environment.id() });
    const settling = new Settling({ link, notes, aside, outbound, environment });
    const addresses = new Addresses({ link, names });
    const draining = new Draining({ link, addresses, names, notes, settling, environment });
    this.#publisher = publisher;
    this.#outbound = outbound;
    this.#notes = notes;
    this.#settling = settling;
    this.#temporary = new Temporary({ link, names, environment });
    this.inspection = new NatsInspection({
      addresses,
      aside,
      outbound,
      assertOpen: () => this.#assertOpen(),
      drain: (address) => draining.drain(address),
    });
    void watch(link, logger, () => {
      for (const receiver of this.#receivers) receiver.reconnected();
    });
  }

  async declare(topology: Topology): Promise<void> {
    this.#assertOpen();
    assertDeclarable(topology);
    try {
      await this.#temporary.note(topology);
      await declare(this.#declaring, topology);
    } catch (error) {
      throw brokerError("Declaring", error);
    }
    this.#declared.push(topology);
  }

  async send(batch: readonly Outgoing[]): Promise<void> {
    this.#assertOpen();
    await this.#outbound.send(batch);
  }

  receive(source: Source, options: ReceiveOptions, listener: Listener): Receiver {
    this.#assertOpen();
    if (source.kind === "stream")
      throw new WaybillError("NOT_SUPPORTED", "This transport has no streams yet.");
    const receiver = new NatsReceiver({
      place: this.#names.place(source, this.#temporary.has(addressOf(source))),
      subscription: source.kind === "subscription" ? source.name : undefined,
      options,
      listener,
      link: this.#link,
      names: this.#names,
      notes: this.#notes,
      settling: this.#settling,
      environment: this.#host.environment,
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
    await Promise.all([...this.#receivers].map((receiver) => receiver.close()));
    this.#publisher.close();
    await this.#temporary.end();
    await this.#link.connection.close();
  }

  #assertOpen(): void {
    if (this.#closed !== undefined) throw closedError();
  }

  async #redeclare(): Promise<void> {
    await declareNotes(this.#declaring);
    for (const topology of this.#declared) await declare(this.#declaring, topology);
  }
}

/** Throws NOT_SUPPORTED or WIRING_INVALID. */
function assertDeclarable({ streams, subscriptions }: Topology): void {
  for (const { accepts } of subscriptions)
    for (const { where } of accepts) if (where !== undefined) assertReadable(where);
  if (streams.length > 0)
    throw new WaybillError(
      "NOT_SUPPORTED",
      `The stream "${streams[0]?.name}" cannot be kept on NATS yet.`,
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
