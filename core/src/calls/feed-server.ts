import type { Envelope } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import type { Entry } from "../listener.ts";
import type { Responder } from "../ports/channel.ts";
import type { Timer } from "../ports/environment.ts";
import type { Runtime } from "../runtime.ts";
import { beatsPerSilence, feedSilenceMs } from "./feed-client.ts";
import { errorFrame, frame } from "./frames.ts";
import type { Inbox } from "./inbox.ts";
import { ItemQueue } from "./item-queue.ts";

const sessionsMax = 1_000;
const bufferMax = 10_000;
const upstreamMax = 1_000;

/** The serving side of feeds over a transport. */
export class FeedServer {
  readonly #runtime: Runtime;
  readonly #inbox: Inbox;
  readonly #sessions = new Map<FeedSession, string>();

  constructor(runtime: Runtime, inbox: Inbox) {
    this.#runtime = runtime;
    this.#inbox = inbox;
  }

  /** Accepts a feed and settles its request: from here on the two processes talk directly, and a death is noticed by silence. */
  async start({ delivery }: Entry, at: { address: string; responder: Responder }): Promise<void> {
    await this.#inbox.ready();
    const request = delivery.envelope;
    if (this.#sessions.size >= sessionsMax) {
      const refusal = { code: "BUFFER_FULL", message: `This process serves ${sessionsMax} feeds already. Open it again later.`, retryable: true, details: {} };
      const answer = errorFrame(this.#runtime, request.header, refusal);
      await this.#inbox.send(request.header.replyto ?? "", [{ ...answer, header: { ...answer.header, sequence: "0" } }]);
    } else {
      const session = new FeedSession(this.#runtime, this.#inbox, { request, responder: at.responder });
      this.#sessions.set(session, at.address);
      void session.run().then(() => this.#sessions.delete(session));
    }
    await delivery.settle({ kind: "complete" });
  }

  /** Ends the feeds of one address with an error that tells the callers to open them again. Answers 0: no feed outlives it. */
  async stop(address: string): Promise<number> {
    const own = [...this.#sessions].filter(([, each]) => each === address).map(([session]) => session);
    await Promise.all(own.map((session) => session.stop()));
    return 0;
  }
}

/** One feed being served: items leave while there is credit. */
class FeedSession {
  readonly #runtime: Runtime;
  readonly #inbox: Inbox;
  readonly #request: Envelope;
  readonly #responder: Responder;
  readonly #upstream = new ItemQueue<Envelope>();
  #credit: number;
  #sent = 0;
  #upstreamTaken = 0;
  #wake: (() => void) | undefined;
  #ended: { readonly reason: unknown } | undefined;
  #onCancel: ((reason: unknown) => void) | undefined;
  #heardAt: number;
  #beat: Timer | undefined;

  constructor(runtime: Runtime, inbox: Inbox, call: { request: Envelope; responder: Responder }) {
    this.#runtime = runtime;
    this.#inbox = inbox;
    this.#request = call.request;
    this.#responder = call.responder;
    this.#credit = creditOf(call.request);
    this.#heardAt = runtime.environment.clock.monotonic();
  }

  async run(): Promise<void> {
    const { correlationid = "" } = this.#request.header;
    this.#inbox.register(correlationid, (received) => this.#take(received));
    await this.#say(frame(this.#runtime, this.#request.header, { type: "waybill.accepted", replyto: this.#inbox.address }));
    this.#keepAlive();
    const items = this.#responder.serve(this.#request, { onCancel: (callback) => this.#watch(callback), upstream: this.#upstream })[Symbol.asyncIterator]();
    try {
      await this.#forward(items);
    } finally {
      this.#beat?.cancel();
      this.#inbox.unregister(correlationid);
      this.#upstream.end();
      // Not awaited: a handler that is stuck in something else must not keep the process from closing.
      void items.return?.();
    }
  }

  async stop(): Promise<void> {
    const reason = new WaybillError("FEED_FAILED", `The process that serves "${this.#request.header.type}" is closing. Open it again.`, { retryable: true });
    this.#end(reason);
    await this.#say(this.#last(errorFrame(this.#runtime, this.#request.header, { code: reason.code, message: reason.message, retryable: true, details: {} })));
  }

  async #forward(items: AsyncIterator<Envelope>): Promise<void> {
    while (this.#ended === undefined) {
      const next = await Promise.race([items.next(), this.#untilEnded()]);
      if (next === undefined || this.#ended !== undefined) return;
      if (next.done === true) return this.#say(this.#last(frame(this.#runtime, this.#request.header, { type: "waybill.end" })));
      while (this.#sent >= this.#credit && this.#ended === undefined && next.value.header.type === "waybill.item") await this.#untilWoken();
      if (this.#ended !== undefined) return;
      if (next.value.header.type === "waybill.error") return this.#say(this.#last(next.value));
      this.#sent += 1;
      await this.#say(next.value);
    }
  }

  #take({ header, body }: Envelope): void {
    this.#heardAt = this.#runtime.environment.clock.monotonic();
    switch (header.type) {
      case "waybill.cancel":
        return this.#end(new WaybillError("CALL_CANCELLED", `The caller of "${header.subject ?? "the feed"}" left.`));
      case "waybill.credit":
        this.#credit = Math.max(this.#credit, Math.min(Number(header.sequence) || 0, this.#sent + bufferMax));
        this.#wake?.();
        return;
      case "waybill.upstream-item":
        if (Number(header.sequence) !== this.#upstreamTaken) return;
        this.#upstreamTaken += 1;
        if (this.#upstream.size < upstreamMax) return this.#upstream.push({ header, body });
        return this.#upstream.fail(new WaybillError("BUFFER_FULL", `The caller sent more than ${upstreamMax} items ahead of the handler.`));
      case "waybill.upstream-end":
        return this.#upstream.end();
    }
  }

  #keepAlive(): void {
    const { timers, clock } = this.#runtime.environment;
    this.#beat = timers.set(() => {
      if (clock.monotonic() - this.#heardAt > feedSilenceMs) {
        return this.#end(new WaybillError("CALL_CANCELLED", `The caller fell silent for ${feedSilenceMs} ms.`));
      }
      void this.#say(frame(this.#runtime, this.#request.header, { type: "waybill.credit" }));
      this.#keepAlive();
    }, feedSilenceMs / beatsPerSilence);
  }

  #watch(callback: (reason: unknown) => void): void {
    if (this.#ended === undefined) this.#onCancel = callback;
    else callback(this.#ended.reason);
  }

  #end(reason: unknown): void {
    if (this.#ended !== undefined) return;
    this.#ended = { reason };
    this.#onCancel?.(reason);
    this.#wake?.();
  }

  #untilWoken(): Promise<void> {
    return new Promise((resolve) => (this.#wake = resolve));
  }

  async #untilEnded(): Promise<undefined> {
    while (this.#ended === undefined) await this.#untilWoken();
    return undefined;
  }

  #last(envelope: Envelope): Envelope {
    return { ...envelope, header: { ...envelope.header, sequence: String(this.#sent) } };
  }

  async #say(envelope: Envelope): Promise<void> {
    const reached = await this.#inbox.send(this.#request.header.replyto ?? "", [envelope]);
    if (!reached) this.#end(new WaybillError("CALL_CANCELLED", "The caller's process is gone."));
  }
}

/** The first credit stands in the request. What a caller writes is bounded, whatever it says. */
function creditOf({ header }: Envelope): number {
  const asked = Number(header.sequence);
  return Number.isSafeInteger(asked) && asked > 0 ? Math.min(asked, bufferMax) : 1;
}
