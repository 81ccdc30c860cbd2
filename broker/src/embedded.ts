import {
  addressOf,
  type Capabilities,
  forwardHopsMax,
  type Inspection,
  type Listener,
  type Outgoing,
  type ReceiveOptions,
  type Receiver,
  sessionStateBytesMax,
  type Source,
  type Topology,
  type Transport,
  type TransportFactory,
  type TransportHost,
  WaybillError,
} from "@waybill/core";
import { assertReceiving } from "@waybill/core/adapter";
import { Broker } from "./broker.ts";
import { dedupWindowMsMax } from "./queues/dedup.ts";
import { encode } from "./storage/codec.ts";
import { openDatabase } from "./storage/database.ts";
import { DeclareOperation } from "./declare.ts";
import { storageError } from "./errors.ts";
import { checkFileSystem } from "./storage/file-system.ts";
import { EmbeddedInspection } from "./operating/inspection.ts";
import { delayMsMax, type EmbeddedOptions, type Settings, settingsOf } from "./options.ts";
import { QueueReceiver } from "./queues/receiver.ts";
import { quotaOf } from "./storage/quota.ts";
import { StreamReceiver } from "./streams/receiver.ts";
import { type SendLimits, SendOperation } from "./queues/send.ts";

/**
 * The durable broker that needs no server: every process of the application opens the same file.
 * What `send` has acknowledged survives a crash of any process and, unless `synchronous` is "normal", a loss of power.
 * Opening throws OPTION_INVALID, STORAGE_INVALID (the file is somebody else's, newer or damaged) or STORAGE_FAILED.
 *
 * @example
 * const bus = await connect({ transport: embedded({ directory: "./data" }), services: [ordering] });
 */
export function embedded(options: EmbeddedOptions): TransportFactory {
  const settings = settingsOf(options);
  return { name: "embedded", open: (host) => EmbeddedTransport.open(settings, host) };
}

interface Intake extends Receiver {
  /** Gives back what was delivered and not settled. */
  abandonAll(): void;
  fault(error: WaybillError): void;
}

class EmbeddedTransport implements Transport {
  readonly name = "embedded";
  readonly capabilities: Capabilities;
  readonly inspection: Inspection;
  readonly #broker: Broker;
  readonly #settings: Settings;
  readonly #mayCreate: boolean;
  readonly #limits: SendLimits;
  readonly #receivers = new Set<Intake>();
  /** What this process has declared, to be declared again if others took it for dead. */
  readonly #declared: Topology[] = [];
  #closed: Promise<void> | undefined;

  static async open(settings: Settings, host: TransportHost): Promise<Transport> {
    checkFileSystem(settings, host.logger);
    const database = await openDatabase(settings, host.environment);
    try {
      const transport = new EmbeddedTransport(
        (events) => new Broker(database, { settings, host, events }),
        settings,
        host.mayCreate !== false,
      );
      await transport.#broker.start();
      return transport;
    } catch (error) {
      if (database.db.isOpen) database.db.close();
      throw storageError(error, database.file);
    }
  }

  private constructor(
    assemble: (events: { revived(): void; fault(error: WaybillError): void }) => Broker,
    settings: Settings,
    mayCreate: boolean,
  ) {
    this.#settings = settings;
    this.#mayCreate = mayCreate;
    this.#broker = assemble({
      revived: () => this.#declareAgain(),
      fault: (error) => this.#fault(error),
    });
    this.#limits = quotaOf(this.#broker);
    this.capabilities = capabilitiesOf(settings);
    this.inspection = new EmbeddedInspection(this.#broker, () => this.#assertOpen());
  }

  async declare(topology: Topology): Promise<void> {
    this.#assertOpen();
    await this.#submitDeclaration(topology);
    this.#declared.push(topology);
  }

  async send(batch: readonly Outgoing[]): Promise<void> {
    this.#assertOpen();
    if (batch.length === 0) return;
    const encoded = batch.map((outgoing) => encode(outgoing, this.#settings.bodyBytesMax));
    await new Promise<void>((resolve, reject) => {
      const operation = new SendOperation(encoded, this.#limits, { resolve, reject });
      this.#assertRoom(operation);
      this.#broker.writer.submit(operation);
    });
  }

  receive(source: Source, options: ReceiveOptions, listener: Listener): Receiver {
    this.#assertOpen();
    assertReceiving(options);
    this.#assertExists(source);
    const ended = (): void => void this.#receivers.delete(receiver);
    const receiver: QueueReceiver | StreamReceiver =
      source.kind === "stream"
        ? new StreamReceiver(this.#broker, { source, options, listener, ended })
        : new QueueReceiver(this.#broker, { source, options, listener, ended });
    this.#receivers.add(receiver);
    this.#broker.wake.add(receiver);
    receiver.signal();
    return receiver;
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    for (const receiver of this.#receivers) await receiver.stop();
    for (const receiver of this.#receivers) receiver.abandonAll();
    await this.#broker.close();
  }

  #submitDeclaration(topology: Topology): Promise<void> {
    const by = { instance: this.#broker.instance, mayCreate: this.#mayCreate };
    return new Promise((resolve, reject) => {
      this.#broker.writer.submit(new DeclareOperation(topology, by, { resolve, reject }));
    });
  }

  #declareAgain(): void {
    this.#broker.logger.warn(
      "This process was silent for so long that others took it for dead; it registers again. What waited in its temporary queues is gone.",
    );
    for (const topology of this.#declared) {
      this.#submitDeclaration(topology).catch((error: WaybillError) => this.#fault(error));
    }
  }

  #fault(error: WaybillError): void {
    for (const receiver of this.#receivers) receiver.fault(error);
    if (this.#receivers.size === 0)
      this.#broker.logger.warn(
        "The embedded broker has trouble with its storage and keeps trying.",
        { code: error.code, error: error.message },
      );
  }

  #assertOpen(): void {
    if (this.#closed === undefined) return;
    throw new WaybillError("CLOSED", "The transport is closed. Connect again to go on.");
  }

  #assertExists(source: Source): void {
    const { addresses } = this.#broker;
    addresses.reread();
    const known =
      source.kind === "stream" ? addresses.stream(source.name) : addresses.findSource(source);
    if (known !== undefined) return;
    throw new WaybillError(
      "NOT_FOUND",
      `There is no ${source.kind} "${addressOf(source)}" on the broker. Declare it before receiving from it.`,
      { details: { ...source } },
    );
  }

  /** One batch is always let through, however large: refusing it would refuse it for ever. */
  #assertRoom({ weight, bytes }: SendOperation): void {
    const { writer } = this.#broker;
    if (writer.waiting === 0) return;
    const { bufferMessagesMax, bufferBytesMax } = this.#settings;
    if (
      writer.waiting + weight <= bufferMessagesMax &&
      writer.waitingBytes + bytes <= bufferBytesMax
    )
      return;
    throw new WaybillError(
      "BUFFER_FULL",
      `${writer.waiting} messages wait in this process to be stored. Await send() before sending more, or raise embedded({ bufferMessagesMax, bufferBytesMax }).`,
      { retryable: true, details: { waiting: writer.waiting, waitingBytes: writer.waitingBytes } },
    );
  }
}

function capabilitiesOf({ synchronous, bodyBytesMax }: Settings): Capabilities {
  return {
    durability: synchronous === "full" ? "power-loss" : "process-crash",
    order: "queue",
    delayMsMax,
    delayStepMs: 1,
    lock: "lease",
    sessions: true,
    keyOrder: "sessions",
    sessionStateBytesMax,
    dedupWindowMs: dedupWindowMsMax,
    bodyBytesMax,
    filters: ["eq", "compare", "in", "prefix", "exists", "logic"],
    ruleActions: true,
    deadLetters: "transport",
    atomicSettle: true,
    atomicBatch: true,
    attemptsPersisted: true,
    attemptsInPlace: true,
    releaseCounts: false,
    owners: true,
    verifies: "everything",
    streams: true,
    forwardHopsMax,
    pause: true,
    conservation: "exact",
    seek: true,
    lists: ["ready", "inFlight", "scheduled", "deferred", "dead"],
    purges: ["ready", "scheduled", "deferred", "dead"],
    follows: true,
    counts: ["inFlight", "scheduled", "deferred", "oldestReadyMs", "receivers"],
  };
}
