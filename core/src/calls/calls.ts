import type { Feed, FeedCursor, Query, Schema } from "@waybill/contracts";
import type { CallOptions, OpenOptions } from "../context.ts";
import type { Envelope } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import type { Channel } from "../ports/channel.ts";
import type { Timer } from "../ports/environment.ts";
import { type Runtime, runtimeOf } from "../runtime.ts";
import type { CallHeader, Calling, CallOrigin, Speech } from "../speaking/speech.ts";
import { encodeBody } from "../steps/outgoing.ts";
import { validated } from "../steps/validate.ts";
import { plainBody } from "../wire/wire.ts";
import { writeCursor } from "./cursor.ts";
import { readError } from "./frames.ts";
import { Resumption } from "./resumption.ts";

const timeoutMsDefault = 10_000;
const timeoutMsMax = 3_600_000;
const feedTimeoutMsMax = 7 * 86_400_000;
const bufferMaxDefault = 64;

/** The caller's side of queries and feeds: deadline, depth, cancellation, and reading what comes back. */
export class Calls implements Calling {
  readonly #speech: Speech;
  readonly #runtime: Runtime;
  readonly #channelFor: (contract: Query | Feed) => Channel;
  readonly #ended = new AbortController();

  constructor(speech: Speech, runtime: Runtime, channelFor: (contract: Query | Feed) => Channel) {
    this.#speech = speech;
    this.#runtime = runtime;
    this.#channelFor = channelFor;
  }

  /** Ends every call in hand with CLOSED. */
  close(): void {
    this.#ended.abort(new WaybillError("CLOSED", "The bus was closed while the call was waiting."));
  }

  async ask(query: Query, input: unknown, origin: CallOrigin<CallOptions>): Promise<unknown> {
    const timeoutMs = this.#timeoutMs(query, origin, { own: timeoutMsDefault, max: timeoutMsMax });
    const call = this.#header(query, origin.parent, timeoutMs);
    const { envelope } = await this.#speech.prepare(query, input, {
      service: origin.service,
      parent: origin.parent,
      options: {},
      call,
    });
    const { controller, unlink } = this.#link(query, origin);
    const release = this.#runtime.vigil.hold();
    const late = `"${query.name}" was not answered within ${timeoutMs} ms. Is the service that answers it running?`;
    const timer = this.#limit(timeoutMs, late, controller);
    try {
      controller.signal.throwIfAborted();
      this.#runtime.counters.of(query.name).sent += 1;
      const answer = await this.#channelFor(query).call(envelope, {
        signal: controller.signal,
      });
      return await this.#read(answer, {
        name: query.name,
        schema: query.output,
        failure: "ANSWER_FAILED",
      });
    } finally {
      timer?.cancel();
      release();
      unlink();
    }
  }

  async *open(
    feed: Feed,
    input: unknown,
    origin: CallOrigin<OpenOptions<unknown, FeedCursor>>,
  ): AsyncIterable<unknown> {
    const { name } = feed;
    checkOpenOptions(feed, origin.options);
    const resumption =
      feed.resume === undefined
        ? undefined
        : new Resumption(feed, origin.options, runtimeOf(this.#runtime, feed));
    const timeoutMs = this.#timeoutMs(feed, origin, { own: Infinity, max: feedTimeoutMsMax });
    const call = this.#header(feed, origin.parent, timeoutMs);
    const { controller, unlink } = this.#link(feed, origin);
    const release = this.#runtime.vigil.hold();
    const timer = this.#limit(timeoutMs, `"${name}" ran for its ${timeoutMs} ms.`, controller);
    const connect = (resumeFrom?: FeedCursor): AsyncIterable<Envelope> =>
      this.#connect(feed, input, { origin, call, resumeFrom, signal: controller.signal });
    try {
      const items = resumption?.envelopes(connect, controller.signal) ?? connect();
      for await (const item of items) {
        const value = await this.#read(item, { name, schema: feed.item, failure: "FEED_FAILED" });
        if (resumption?.takes(value) !== false) yield value;
      }
    } finally {
      timer?.cancel();
      release();
      unlink();
      controller.abort(new WaybillError("CALL_CANCELLED", `The caller left "${name}".`));
    }
  }

  /** One connection of a feed. Each has an id of its own, so that nothing late from one is taken for another's. */
  async *#connect(feed: Feed, input: unknown, connection: Connection): AsyncIterable<Envelope> {
    const { origin, resumeFrom, signal } = connection;
    const call = {
      ...connection.call,
      correlationid: this.#runtime.environment.id(),
      ...(resumeFrom !== undefined && { resumefrom: writeCursor(resumeFrom) }),
    };
    const { service, parent } = origin;
    const { envelope } = await this.#speech.prepare(feed, input, {
      service,
      parent,
      options: {},
      call,
    });
    const upstream = this.#upstream(feed, origin.options.upstream, envelope);
    signal.throwIfAborted();
    this.#runtime.counters.of(feed.name).sent += 1;
    const { bufferMax = bufferMaxDefault } = origin.options;
    yield* this.#channelFor(feed).open(envelope, { signal, upstream, bufferMax });
  }

  /** How long a call may take: as its caller says, but no longer than the caller above waits. */
  #timeoutMs(
    { name }: Query | Feed,
    { options, parent }: CallOrigin<CallOptions>,
    bounds: { readonly own: number; readonly max: number },
  ): number {
    const own = options.timeoutMs ?? bounds.own;
    if (options.timeoutMs !== undefined && !(own > 0 && own <= bounds.max)) {
      throw new WaybillError(
        "OPTION_INVALID",
        `timeoutMs of "${name}" is ${String(own)}; give milliseconds up to ${bounds.max}.`,
      );
    }
    const above = parent?.header.deadline;
    if (above === undefined) return own;
    const left = Date.parse(above) - this.#runtime.environment.clock.now();
    if (left > 0) return Math.min(own, left);
    throw new WaybillError(
      "DEADLINE_EXCEEDED",
      `No time is left for "${name}": the caller above stopped waiting at ${above}.`,
    );
  }

  /** Undefined for a call without a deadline. */
  #limit(timeoutMs: number, text: string, controller: AbortController): Timer | undefined {
    if (timeoutMs === Infinity) return undefined;
    return this.#runtime.environment.timers.set(() => {
      controller.abort(new WaybillError("DEADLINE_EXCEEDED", text, { retryable: true }));
    }, timeoutMs);
  }

  #header(contract: Query | Feed, parent: Envelope | undefined, timeoutMs: number): CallHeader {
    const calldepth = depthOf(parent) + 1;
    const { max, policy } = this.#runtime.callDepth;
    if (calldepth > max) {
      const text =
        `"${contract.name}" would be call ${calldepth} in a chain in which every caller waits; the limit is ${max}. ` +
        `Keep a copy of the data by its events, or have the first caller ask for it.`;
      if (policy === "refuse")
        throw new WaybillError("CALL_DEPTH_EXCEEDED", text, { details: { calldepth, max } });
      this.#runtime.logger.warn(text, { contract: contract.name, calldepth });
    }
    const { environment } = this.#runtime;
    const correlationid = environment.id();
    if (timeoutMs === Infinity) return { correlationid, calldepth };
    const deadline = new Date(environment.clock.now() + timeoutMs).toISOString();
    return { correlationid, calldepth, deadline };
  }

  /** One signal for everything that can end a call. */
  #link(
    contract: Query | Feed,
    origin: CallOrigin<{ readonly signal?: AbortSignal }>,
  ): { controller: AbortController; unlink: () => void } {
    const controller = new AbortController();
    const own = origin.options.signal;
    const links: [AbortSignal | undefined, (signal: AbortSignal) => unknown][] = [
      [
        own,
        (signal) =>
          new WaybillError(
            "CALL_CANCELLED",
            `The call of "${contract.name}" was cancelled by its caller.`,
            { cause: signal.reason },
          ),
      ],
      [origin.signal, (signal) => signal.reason as unknown],
      [this.#ended.signal, (signal) => signal.reason as unknown],
    ];
    const undo = links.map(([signal, reasonOf]) => {
      if (signal === undefined) return undefined;
      const onAbort = (): void => controller.abort(reasonOf(signal));
      if (signal.aborted) onAbort();
      else signal.addEventListener("abort", onAbort, { once: true });
      return () => signal.removeEventListener("abort", onAbort);
    });
    return { controller, unlink: () => undo.forEach((each) => each?.()) };
  }

  async #read(
    answer: Envelope,
    expected: { name: string; schema: Schema<any>; failure: "ANSWER_FAILED" | "FEED_FAILED" },
  ): Promise<unknown> {
    if (answer.header.type === "waybill.error")
      throw readError(this.#runtime, answer, expected.failure);
    const body = plainBody(answer);
    try {
      const value = body.length === 0 ? undefined : this.#runtime.codec.decode(body);
      return await validated(expected.schema, value, {
        contract: expected.name,
        what: "in answer",
      });
    } catch (cause) {
      throw new WaybillError(
        "ANSWER_INVALID",
        `What "${expected.name}" gave does not fit its contract. Are both sides on one version?`,
        { cause },
      );
    }
  }

  #upstream(
    feed: Feed,
    items: AsyncIterable<unknown> | undefined,
    { header }: Envelope,
  ): AsyncIterable<Envelope> | undefined {
    const { upstream: schema } = feed;
    if (items === undefined || schema === undefined) return undefined;
    const runtime = runtimeOf(this.#runtime, feed);
    return (async function* encoded(): AsyncIterable<Envelope> {
      for await (const item of items) {
        await validated(schema, item, { contract: feed.name, what: "to be sent upstream" });
        yield { header, body: encodeBody(item, feed.name, runtime) };
      }
    })();
  }
}

interface Connection {
  readonly origin: CallOrigin<OpenOptions<unknown, FeedCursor>>;
  readonly call: CallHeader;
  readonly resumeFrom: FeedCursor | undefined;
  readonly signal: AbortSignal;
}

/** What the types refuse and JavaScript may say. */
function checkOpenOptions(feed: Feed, options: OpenOptions<unknown, FeedCursor>): void {
  const { bufferMax = bufferMaxDefault, resume, resumeFrom, upstream } = options;
  const refuse = (why: string): WaybillError => new WaybillError("OPTION_INVALID", why);
  if (!Number.isInteger(bufferMax) || bufferMax < 1 || bufferMax > 10_000)
    throw refuse(`bufferMax is ${String(bufferMax)}; give a whole number from 1 to 10,000.`);
  if (feed.resume === undefined && (resume !== undefined || resumeFrom !== undefined))
    throw refuse(`"${feed.name}" cannot be resumed; its contract declares no resume.`);
  if (feed.upstream === undefined && upstream !== undefined)
    throw refuse(`"${feed.name}" takes no upstream items; its contract declares none.`);
}

/** A foreign or forged header may say anything: what is no depth counts as none. */
function depthOf(parent: Envelope | undefined): number {
  const depth: unknown = parent?.header.calldepth;
  return Number.isSafeInteger(depth) && Number(depth) > 0 ? Number(depth) : 0;
}
