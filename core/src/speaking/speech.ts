import type { Feed, FeedCursor, Query } from "@waybill/contracts";
import type { CallOptions, OpenOptions, Receipt, SendOptions } from "../context.ts";
import { type Body, type Envelope, type Header, schemaUri } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import { type Sending, type WritableHeader, destinationOf } from "../handling/message.ts";
import type { Delays } from "../schedules/delays.ts";
import type { Sender } from "../handling/pipeline.ts";
import type { RecordedHeader } from "./recorded.ts";
import type { Destination, Outgoing } from "../ports/transport.ts";
import { type Runtime, runtimeOf } from "../runtime.ts";
import type { OpenViews, ViewReading } from "../views/open-views.ts";
import type { ViewReader } from "../views/reader.ts";
import type { AnyContract } from "../wiring/uses.ts";

/** Who speaks, on account of what, and how. */
export interface Origin {
  readonly service: string;
  /** The message whose handler speaks; undefined outside a handler. */
  readonly parent: Envelope | undefined;
  readonly options: SendOptions;
  /** Only for calls. */
  readonly call?: CallHeader;
  /** Only for recorded events. */
  readonly recorded?: RecordedHeader;
}

export interface CallHeader {
  readonly correlationid: string;
  readonly deadline?: string;
  readonly calldepth: number;
  readonly resumefrom?: string;
}

export interface CallOrigin<Options> {
  readonly service: string;
  readonly parent: Envelope | undefined;
  readonly options: Options;
  /** Ends the call when the handler that makes it is ended. */
  readonly signal: AbortSignal | undefined;
}

export interface Calling {
  ask(query: Query, input: unknown, origin: CallOrigin<CallOptions>): Promise<unknown>;
  open(
    feed: Feed,
    input: unknown,
    origin: CallOrigin<OpenOptions<unknown, FeedCursor>>,
  ): AsyncIterable<unknown>;
}

/** What is the same for every message of a contract that a service speaks, made once. */
interface Way {
  readonly sender: Sender;
  readonly to: Destination;
  /** Copied for each message: V8 would make those of a literal in the old generation, see `Received`. */
  readonly header: WritableHeader;
}

/** Everything that leaves this bus is made here: one compiled list of steps per contract. */
export class Speech {
  readonly #runtime: Runtime;
  /** By service. */
  readonly #ways: ReadonlyMap<string, ReadonlyMap<AnyContract, Way>>;
  #calling: Calling | undefined;
  #views: OpenViews | undefined;
  #delays: Delays | undefined;
  #time = "";
  #timeAt = Number.NaN;

  constructor(
    runtime: Runtime,
    senders: ReadonlyMap<AnyContract, Sender>,
    uses: ReadonlyMap<string, ReadonlySet<AnyContract>>,
  ) {
    this.#runtime = runtime;
    this.#ways = new Map(
      [...uses].map(([service, contracts]) => [
        service,
        waysOf(contracts, { senders, service, contentType: runtime.codec.contentType }),
      ]),
    );
  }

  /** Calls stand on speech and speech offers calls to handlers, so they are introduced to each other afterwards. */
  useCalls(calling: Calling): void {
    this.#calling = calling;
  }

  /** Handlers read views, which are opened after all that speaks. */
  useViews(views: OpenViews): void {
    this.#views = views;
  }

  /** Error: CONTRACT_NOT_DECLARED. */
  view(name: string, reading: ViewReading): ViewReader {
    return (this.#views as OpenViews).reader(name, reading);
  }

  ask(query: Query, input: unknown, origin: CallOrigin<CallOptions>): Promise<unknown> {
    return (this.#calling as Calling).ask(query, input, origin);
  }

  open(
    feed: Feed,
    input: unknown,
    origin: CallOrigin<OpenOptions<unknown, FeedCursor>>,
  ): AsyncIterable<unknown> {
    return (this.#calling as Calling).open(feed, input, origin);
  }

  /** What a broker cannot hold so long waits in a store. */
  useDelays(delays: Delays): void {
    this.#delays = delays;
  }

  /** A checked, encoded message, not yet sent. Answers at once when the schema does. Throws or rejects with MESSAGE_INVALID, BODY_TOO_LARGE, CONTRACT_NOT_DECLARED or OPTION_INVALID. */
  prepare(contract: AnyContract, value: unknown, origin: Origin): Outgoing | Promise<Outgoing> {
    const way = this.#ways.get(origin.service)?.get(contract);
    if (way === undefined) throw undeclared(contract, origin.service);
    const sending: Sending = {
      contract,
      service: origin.service,
      value,
      options: origin.options,
      parent: origin.parent,
      header: this.#header(contract, origin, way),
      body: "",
    };
    const pending = way.sender(sending);
    return pending === undefined
      ? this.#outgoing(sending, way.to)
      : pending.then(() => this.#outgoing(sending, way.to));
  }

  /** Resolves when all of it is stored as durably as the transport says. */
  async deliver(all: readonly Outgoing[]): Promise<void> {
    const batch = this.#delays === undefined ? all : await this.#delays.keep(all);
    if (batch.length === 0) return;
    await this.#runtime.transport.send(batch);
    for (const { envelope } of batch) this.#runtime.counters.of(envelope.header.type).sent += 1;
  }

  /** The same for one message, without a promise more than the transport's own. */
  deliverOne(outgoing: Outgoing): Promise<Receipt> {
    const { id, type } = outgoing.envelope.header;
    if (outgoing.notBefore !== undefined) return this.deliver([outgoing]).then(() => ({ id }));
    return this.#runtime.transport.send([outgoing]).then(() => {
      this.#runtime.counters.of(type).sent += 1;
      return { id };
    });
  }

  #header(
    contract: AnyContract,
    { parent, options, call, recorded }: Origin,
    way: Way,
  ): WritableHeader {
    const id = options.id ?? this.#runtime.environment.id();
    const header = { ...way.header };
    header.id = id;
    header.time = this.#now();
    header.conversationid = parent?.header.conversationid ?? id;
    if (options.dedupId !== undefined) header.dedupid = dedupIdOf(options.dedupId, contract);
    if (parent !== undefined) {
      header.causationid = parent.header.id;
      if (parent.header.traceparent !== undefined) header.traceparent = parent.header.traceparent;
      if (parent.header.tracestate !== undefined) header.tracestate = parent.header.tracestate;
    }
    if (call !== undefined) Object.assign(header, call);
    if (recorded !== undefined) Object.assign(header, recorded);
    return header;
  }

  #outgoing({ contract, service, header, body, options }: Sending, to: Destination): Outgoing {
    const envelope = new Made(header, body);
    const { delayMs, at, ttlMs } = options;
    if (delayMs === undefined && at === undefined && ttlMs === undefined)
      return new Leaving(to, envelope);
    const now = this.#runtime.environment.clock.now();
    const notBefore = at?.getTime() ?? (delayMs === undefined ? undefined : now + delayMs);
    const notAfter = ttlMs === undefined ? undefined : (notBefore ?? now) + ttlMs;
    const delayMsAsked = (notBefore ?? now) - now;
    this.#checkTimes(contract, { service, delayMs: delayMsAsked, ttlMs: ttlMs ?? 0 });
    if (notAfter !== undefined) header.expirytime = new Date(notAfter).toISOString();
    return {
      to,
      envelope,
      ...(notBefore !== undefined && { notBefore }),
      ...(notAfter !== undefined && { notAfter }),
    };
  }

  #checkTimes(
    contract: AnyContract,
    { service, delayMs, ttlMs }: { service: string; delayMs: number; ttlMs: number },
  ): void {
    const { name, capabilities } = runtimeOf(this.#runtime, contract).transport;
    if (
      !(delayMs <= delayMsMax && Number.isFinite(delayMs)) ||
      !(ttlMs >= 0 && ttlMs <= delayMsMax)
    ) {
      throw new WaybillError(
        "OPTION_INVALID",
        `delayMs, at and ttlMs of "${contract.name}" must lie within ten years.`,
      );
    }
    if (delayMs > capabilities.delayMsMax && this.#delays?.has(service) !== true) {
      throw new WaybillError(
        "NOT_SUPPORTED",
        `"${contract.name}" asks for a delay of ${delayMs} ms; ${name} holds messages for at most ${capabilities.delayMsMax} ms. Give the service "${service}" a store, in which it can wait.`,
      );
    }
  }

  /** Text of the present millisecond; made once per millisecond, because toISOString shows in a profile. */
  #now(): string {
    const now = this.#runtime.environment.clock.now();
    if (now !== this.#timeAt) {
      this.#timeAt = now;
      this.#time = new Date(now).toISOString();
    }
    return this.#time;
  }
}

/** An envelope as it is sent. A class for the sake of the collector, see `Received`. */
class Made implements Envelope {
  readonly header: Header;
  readonly body: Body;

  constructor(header: Header, body: Body) {
    this.header = header;
    this.body = body;
  }
}

/** A message as it leaves, when it leaves at once. Were this a literal, V8 would make the envelope in it in the old generation with it. */
class Leaving implements Outgoing {
  readonly to: Destination;
  readonly envelope: Envelope;

  constructor(to: Destination, envelope: Envelope) {
    this.to = to;
    this.envelope = envelope;
  }
}

function waysOf(
  contracts: ReadonlySet<AnyContract>,
  from: {
    readonly senders: ReadonlyMap<AnyContract, Sender>;
    readonly service: string;
    readonly contentType: string;
  },
): ReadonlyMap<AnyContract, Way> {
  const ways = new Map<AnyContract, Way>();
  for (const contract of contracts) {
    const sender = from.senders.get(contract);
    if (sender === undefined) continue;
    const header: WritableHeader = {
      specversion: "1.0",
      id: "",
      source: `/services/${from.service}`,
      type: contract.name,
      time: "",
      datacontenttype: from.contentType,
      dataschema: schemaUri(contract),
      conversationid: "",
    };
    ways.set(contract, { sender, to: destinationOf(contract), header });
  }
  return ways;
}

/** Longest delay and time to live that any contract takes. */
export const delayMsMax: number = 10 * 365 * 86_400_000;

const dedupIdMax = 256;

function dedupIdOf(dedupId: unknown, { kind, name }: AnyContract): string {
  if (typeof dedupId === "string" && dedupId !== "" && dedupId.length <= dedupIdMax) return dedupId;
  throw new WaybillError(
    "OPTION_INVALID",
    `The dedupId of the ${kind} "${name}" must be text of 1 to ${dedupIdMax} characters.`,
  );
}

function undeclared(contract: AnyContract, service: string): WaybillError {
  const verbs = {
    command: "sends",
    event: "publishes",
    query: "asks",
    feed: "opens",
    stream: "appends",
  };
  return new WaybillError(
    "CONTRACT_NOT_DECLARED",
    `Service "${service}" does not declare the ${contract.kind} "${contract.name}". Add it: service("${service}", { ${verbs[contract.kind]}: [...] }).`,
  );
}
