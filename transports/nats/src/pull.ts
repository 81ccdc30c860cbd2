import type { Msg, NatsConnection, Subscription } from "@nats-io/transport-node";
import { createInbox, nanos } from "@nats-io/transport-node";

/** A message of a consumer, and what its acknowledgement's subject tells of it. */
export interface Pulled {
  readonly raw: Msg;
  /** Where acknowledgements go. */
  readonly reply: string;
  /** Where JetStream lies, as the server names it; undefined where it does not. */
  readonly domain: string | undefined;
  readonly sequence: number;
  /** How often it was handed out, this time included. */
  readonly deliveries: number;
  /** Counts what the consumer has handed out. */
  readonly turn: number;
  /** When it was stored: with the sequence it names a message for good. */
  readonly timestampNanos: string;
}

export interface PullParts {
  readonly connection: NatsConnection;
  readonly stream: string;
  readonly consumer: string;
  readonly now: () => number;
  readonly message: (message: Pulled) => void;
  /** A request has ended: there is room for another. */
  readonly ended: () => void;
  /** A request ended because the next message alone is larger than it may bring. */
  readonly oversize?: () => void;
  /** The consumer is not there any more. */
  readonly gone: () => void;
}

interface Request {
  left: number;
  readonly endsAt: number;
}

const expiresMsMin = 50;
/** Short, because nothing takes a request back: what it leaves behind harms until it expires. */
const expiresMsMax = 2_000;
/** By then the server has ended a request, or lost it. */
const graceMs = 5_000;
const idle = 404;
const timedOut = 408;
const conflict = 409;
const unheard = 503;
const heartbeat = 100;
/** One in a row means that JetStream has nobody for this consumer. */
const goneText = /deleted|not found/i;
const oversizeText = /maxbytes/i;
/** Of a time in nanoseconds, what lies below a millisecond. */
const nanosDigits = 6;

/** Asks a consumer for messages: so many as there is room for, and never more. */
export class Pull {
  readonly #parts: PullParts;
  readonly #inbox = createInbox();
  readonly #subscription: Subscription;
  readonly #requests = new Map<string, Request>();
  #number = 0;

  constructor(parts: PullParts) {
    this.#parts = parts;
    this.#subscription = parts.connection.subscribe(`${this.#inbox}.*`, {
      callback: (error, message) => {
        if (error === null) this.#take(message);
      },
    });
  }

  /** Messages that may still come. */
  get outstanding(): number {
    const now = this.#parts.now();
    let sum = 0;
    for (const [name, { left, endsAt }] of this.#requests)
      if (endsAt < now) this.#requests.delete(name);
      else sum += left;
    return sum;
  }

  /** Waits on the server until there is one, at most for that long; without a time only for what is ready. */
  request(batch: number, waitMs?: number, bytesMax?: number): void {
    const { connection, stream, consumer, now } = this.#parts;
    const name = `${this.#inbox}.${++this.#number}`;
    const expiresMs = Math.min(expiresMsMax, Math.max(expiresMsMin, waitMs ?? 0));
    this.#requests.set(name, { left: batch, endsAt: now() + expiresMs + graceMs });
    const asked = {
      batch,
      ...(waitMs === undefined ? { no_wait: true } : { expires: nanos(expiresMs) }),
      ...(bytesMax !== undefined && { max_bytes: bytesMax }),
    };
    connection.publish(`$JS.API.CONSUMER.MSG.NEXT.${stream}.${consumer}`, JSON.stringify(asked), {
      reply: name,
    });
  }

  /** The connection was lost, and the server's requests with it. */
  forget(): void {
    this.#requests.clear();
  }

  /** Until when the server may hold what was asked for: see `Unheard`. */
  get asksUntil(): number {
    return Math.max(0, ...[...this.#requests.values()].map(({ endsAt }) => endsAt - graceMs));
  }

  /** Resolves when nothing comes any more; what the server had sent before is still handed over. */
  async end(): Promise<void> {
    await this.#subscription.drain().catch(() => undefined);
    this.#requests.clear();
  }

  #take(message: Msg): void {
    const code = message.headers?.code ?? 0;
    if (code === heartbeat) return;
    // The name of a request comes back as the subject, where no message of the stream has it.
    if (code >= idle && message.data.byteLength === 0 && !message.reply)
      return this.#answered(message, code);
    const pulled = readPulled(message);
    if (pulled === undefined) return;
    this.#count();
    this.#parts.message(pulled);
  }

  /** Requests are served in their order. */
  #count(): void {
    for (const [name, request] of this.#requests) {
      request.left -= 1;
      if (request.left <= 0) this.#requests.delete(name);
      return;
    }
  }

  #answered({ subject, headers }: Msg, code: number): void {
    this.#requests.delete(subject);
    const isGone =
      code === unheard || (code === conflict && goneText.test(headers?.description ?? ""));
    if (isGone) this.#parts.gone();
    else if (code === conflict && oversizeText.test(headers?.description ?? ""))
      this.#parts.oversize?.();
    else if ([idle, timedOut, conflict].includes(code)) this.#parts.ended();
  }
}

/** `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer sequence>.<time>.<pending>`, with domain and account before the stream on newer servers. */
function readPulled(raw: Msg): Pulled | undefined {
  const tokens = (raw.reply ?? "").split(".");
  if (raw.reply === undefined || tokens[1] !== "ACK") return undefined;
  const from = tokens.length > plainTokens ? plainFrom + 2 : plainFrom;
  const [deliveries, sequence, turn, timestampNanos = "0"] = tokens.slice(from);
  return {
    raw,
    reply: raw.reply,
    domain: from === plainFrom ? undefined : tokens[2],
    sequence: Number(sequence),
    deliveries: Number(deliveries),
    turn: Number(turn),
    timestampNanos,
  };
}

const plainTokens = 9;
const plainFrom = 4;

export function storedAt({ timestampNanos }: Pulled): number {
  return Number(timestampNanos.slice(0, -nanosDigits));
}
