import type { Feed, Query, Schema } from "@waybill/contracts";
import type { CallOptions, OpenOptions } from "../context.ts";
import type { Envelope } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import type { Channel } from "../ports/channel.ts";
import type { Runtime } from "../runtime.ts";
import type { CallHeader, Calling, CallOrigin, Speech } from "../speech.ts";
import { encodeBody } from "../steps/outgoing.ts";
import { validated } from "../steps/validate.ts";
import { plainBody } from "../wire/wire.ts";
import { readError } from "./frames.ts";

const timeoutMsDefault = 10_000;
const timeoutMsMax = 3_600_000;
const bufferMaxDefault = 64;

/** The caller's side of queries and feeds: deadline, depth, cancellation, and reading what comes back. */
export class Calls implements Calling {
  readonly #speech: Speech;
  readonly #runtime: Runtime;
  readonly #channelFor: (contract: string) => Channel;
  readonly #ended = new AbortController();

  constructor(speech: Speech, runtime: Runtime, channelFor: (contract: string) => Channel) {
    this.#speech = speech;
    this.#runtime = runtime;
    this.#channelFor = channelFor;
  }

  /** Ends every call in hand with CLOSED. */
  close(): void {
    this.#ended.abort(new WaybillError("CLOSED", "The bus was closed while the call was waiting."));
  }

  async ask(query: Query, input: unknown, origin: CallOrigin<CallOptions>): Promise<unknown> {
    const { clock, timers } = this.#runtime.environment;
    const timeoutMs = this.#timeoutMs(query, origin);
    const call = this.#header(
      query,
      origin.parent,
      new Date(clock.now() + timeoutMs).toISOString(),
    );
    const { envelope } = await this.#speech.prepare(query, input, {
      service: origin.service,
      parent: origin.parent,
      options: {},
      call,
    });
    const { controller, unlink } = this.#link(query, origin);
    const release = this.#runtime.vigil.hold();
    const timer = timers.set(() => {
      const text = `"${query.name}" was not answered within ${timeoutMs} ms. Is the service that answers it running?`;
      controller.abort(new WaybillError("DEADLINE_EXCEEDED", text, { retryable: true }));
    }, timeoutMs);
    try {
      controller.signal.throwIfAborted();
      this.#runtime.counters.of(query.name).sent += 1;
      const answer = await this.#channelFor(query.name).call(envelope, {
        signal: controller.signal,
      });
      return await this.#read(answer, {
        name: query.name,
        schema: query.output,
        failure: "ANSWER_FAILED",
      });
    } finally {
      timer.cancel();
      release();
      unlink();
    }
  }

  async *open(
    feed: Feed,
    input: unknown,
    origin: CallOrigin<OpenOptions<unknown>>,
  ): AsyncIterable<unknown> {
    const bufferMax = origin.options.bufferMax ?? bufferMaxDefault;
    if (!Number.isInteger(bufferMax) || bufferMax < 1 || bufferMax > 10_000) {
      throw new WaybillError(
        "OPTION_INVALID",
        `bufferMax is ${String(bufferMax)}; give a whole number from 1 to 10,000.`,
      );
    }
    const call = this.#header(feed, origin.parent, undefined);
    const { envelope } = await this.#speech.prepare(feed, input, {
      service: origin.service,
      parent: origin.parent,
      options: {},
      call,
    });
    const { controller, unlink } = this.#link(feed, origin);
    const release = this.#runtime.vigil.hold();
    try {
      const upstream = this.#upstream(feed, origin.options.upstream, envelope);
      controller.signal.throwIfAborted();
      this.#runtime.counters.of(feed.name).sent += 1;
      const items = this.#channelFor(feed.name).open(envelope, {
        signal: controller.signal,
        upstream,
        bufferMax,
      });
      for await (const item of items)
        yield await this.#read(item, {
          name: feed.name,
          schema: feed.item,
          failure: "FEED_FAILED",
        });
    } finally {
      release();
      unlink();
      controller.abort(new WaybillError("CALL_CANCELLED", `The caller left "${feed.name}".`));
    }
  }

  #timeoutMs(query: Query, { options, parent }: CallOrigin<CallOptions>): number {
    const own = options.timeoutMs ?? timeoutMsDefault;
    if (!(own > 0 && own <= timeoutMsMax)) {
      throw new WaybillError(
        "OPTION_INVALID",
        `timeoutMs of "${query.name}" is ${String(own)}; give milliseconds up to ${timeoutMsMax}.`,
      );
    }
    const above = parent?.header.deadline;
    if (above === undefined) return own;
    const left = Date.parse(above) - this.#runtime.environment.clock.now();
    if (left > 0) return Math.min(own, left);
    throw new WaybillError(
      "DEADLINE_EXCEEDED",
      `No time is left to ask "${query.name}": the caller above stopped waiting at ${above}.`,
    );
  }

  #header(
    contract: Query | Feed,
    parent: Envelope | undefined,
    deadline: string | undefined,
  ): CallHeader {
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
    const correlationid = this.#runtime.environment.id();
    return deadline === undefined
      ? { correlationid, calldepth }
      : { correlationid, calldepth, deadline };
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
    if (items === undefined) return undefined;
    const { upstream: schema } = feed;
    if (schema === undefined)
      throw new WaybillError(
        "OPTION_INVALID",
        `"${feed.name}" takes no upstream items; its contract declares none.`,
      );
    const runtime = this.#runtime;
    return (async function* encoded(): AsyncIterable<Envelope> {
      for await (const item of items) {
        await validated(schema, item, { contract: feed.name, what: "to be sent upstream" });
        yield { header, body: encodeBody(item, feed.name, runtime) };
      }
    })();
  }
}

/** A foreign or forged header may say anything: what is no depth counts as none. */
function depthOf(parent: Envelope | undefined): number {
  const depth: unknown = parent?.header.calldepth;
  return Number.isSafeInteger(depth) && Number(depth) > 0 ? Number(depth) : 0;
}
