import type { Envelope } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import type { Responder } from "../ports/channel.ts";
import type { Timer } from "../ports/environment.ts";
import type { Runtime } from "../runtime.ts";
import { beatDelayMs, feedSilenceMs, upstreamWindow } from "./feed-client.ts";
import { closingFrame, errorFrame, frame, toWireError } from "./frames.ts";
import type { Inbox, Patience } from "./inbox.ts";
import { ItemQueue } from "./item-queue.ts";

const bufferMax = 10_000;

/** One feed being served: items leave while there is credit. */
export class FeedSession {
  readonly #runtime: Runtime;
  readonly #inbox: Inbox;
  readonly #request: Envelope;
  readonly #responder: Responder;
  readonly #upstream = new ItemQueue<Envelope>();
  #credit: number;
  #sent = 0;
  #upstreamTaken = 0;
  #upstreamGranted = upstreamWindow;
  /** What the loop waits for: credit, or the end. One waiter at a time. */
  #wake: (() => void) | undefined;
  #finished: Promise<void> = Promise.resolve();
  /** The handler's own end, its `finally` included. */
  #handler: Promise<unknown> = Promise.resolve();
  #stopping = false;
  #ended: { readonly reason: unknown } | undefined;
  #onCancel: ((reason: unknown) => void) | undefined;
  /** What cannot be sent for a moment is tried again, until the caller must take the silence for the end. */
  readonly #patience: Patience = {
    forMs: feedSilenceMs,
    goesOn: () => this.#ended === undefined,
  };
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

  /** Resolves when the handler has ended, its `finally` included, or was given up. */
  run(): Promise<void> {
    this.#finished = this.#serve();
    return this.#finished;
  }

  /** Tells the caller, and resolves when the handler has ended. */
  async stop(): Promise<void> {
    const reason = new WaybillError(
      "FEED_FAILED",
      `The process that serves "${this.#request.header.type}" is closing. Open it again.`,
      { retryable: true },
    );
    this.#stopping = true;
    this.#end(reason);
    await this.#say(this.#last(closingFrame(this.#runtime, this.#request.header, reason)));
    await this.#finished;
    await this.#handler;
  }

  async #serve(): Promise<void> {
    const { correlationid = "" } = this.#request.header;
    this.#inbox.register(correlationid, (received) => this.#take(received));
    await this.#say(frame(this.#runtime, this.#request.header, { type: "waybill.accepted" }));
    this.#keepAlive();
    const call = {
      onCancel: (callback: (reason: unknown) => void) => this.#watch(callback),
      upstream: this.#readUpstream(),
    };
    const items = this.#responder.serve(this.#request, call)[Symbol.asyncIterator]();
    try {
      await this.#forward(items);
    } finally {
      this.#beat?.cancel();
      this.#inbox.unregister(correlationid);
      this.#upstream.end();
      this.#handler = Promise.resolve(items.return?.());
      // Who stops waits as long as it may.
      await (this.#stopping ? this.#handler : this.#responder.release(this.#handler));
    }
  }

  async #forward(items: AsyncIterator<Envelope>): Promise<void> {
    while (this.#ended === undefined) {
      const next = await this.#unlessEnded(items.next());
      if (next === undefined) return;
      if (next.done === true)
        return this.#say(
          this.#last(frame(this.#runtime, this.#request.header, { type: "waybill.end" })),
        );
      if (next.value.header.type === "waybill.error") return this.#say(this.#last(next.value));
      while (this.#sent >= this.#credit && this.#ended === undefined)
        await new Promise<void>((resolve) => (this.#wake = resolve));
      if (this.#ended !== undefined) return;
      if (!(await this.#sayItem(next.value))) return;
    }
  }

  /** The work's result, or undefined when the feed ends first. */
  #unlessEnded<Result>(work: Promise<Result>): Promise<Result | undefined> {
    return new Promise((resolve, reject) => {
      this.#wake = () => {
        if (this.#ended !== undefined) resolve(undefined);
      };
      work.then(resolve, reject);
    });
  }

  async *#readUpstream(): AsyncIterable<Envelope> {
    let read = 0;
    for await (const item of this.#upstream) {
      yield item;
      read += 1;
      if (read + upstreamWindow - this.#upstreamGranted < upstreamWindow / 2) continue;
      this.#upstreamGranted = read + upstreamWindow;
      await this.#sayCredit();
    }
  }

  #sayCredit(): Promise<void> {
    return this.#say(
      frame(this.#runtime, this.#request.header, {
        type: "waybill.credit",
        sequence: this.#upstreamGranted,
      }),
    );
  }

  #take({ header, body }: Envelope): void {
    this.#heardAt = this.#runtime.environment.clock.monotonic();
    switch (header.type) {
      case "waybill.cancel":
        return this.#end(
          new WaybillError(
            "CALL_CANCELLED",
            `The caller of "${header.subject ?? "the feed"}" left.`,
          ),
        );
      case "waybill.credit":
        this.#credit = Math.max(
          this.#credit,
          Math.min(Number(header.sequence) || 0, this.#sent + bufferMax),
        );
        this.#wake?.();
        return;
      case "waybill.upstream-item":
        if (!this.#isNext(header)) return;
        this.#upstreamTaken += 1;
        if (this.#upstreamTaken <= this.#upstreamGranted)
          return this.#upstream.push({ header, body });
        return this.#upstream.fail(
          new WaybillError(
            "BUFFER_FULL",
            "The caller sent more upstream items than it had credit for.",
          ),
        );
      case "waybill.upstream-end":
        if (this.#isNext(header)) this.#upstream.end();
    }
  }

  /** Whether an upstream frame is the next in order. One that came twice is not; one that comes too early shows a loss, and fails. */
  #isNext({ sequence, type }: Envelope["header"]): boolean {
    const position = Number(sequence);
    if (position === this.#upstreamTaken) return true;
    if (!(position < this.#upstreamTaken)) {
      this.#upstream.fail(
        new WaybillError(
          "FEED_FAILED",
          `Upstream items were lost on the way: "${type}" ${String(sequence)} came instead of ${this.#upstreamTaken}.`,
          { retryable: true },
        ),
      );
    }
    return false;
  }

  #keepAlive(): void {
    const { timers, clock } = this.#runtime.environment;
    this.#beat = timers.set(
      () => {
        if (clock.monotonic() - this.#heardAt >= feedSilenceMs) {
          return this.#end(
            new WaybillError("CALL_CANCELLED", `The caller fell silent for ${feedSilenceMs} ms.`),
          );
        }
        void this.#sayCredit();
        this.#keepAlive();
      },
      beatDelayMs(clock.monotonic() - this.#heardAt),
    );
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

  #last(envelope: Envelope): Envelope {
    return { ...envelope, header: { ...envelope.header, sequence: String(this.#sent) } };
  }

  /** An item that the wire cannot seal is the feed's last word. Answers whether the feed goes on. */
  async #sayItem({ header, body }: Envelope): Promise<boolean> {
    const item = { header: { ...header, replyto: this.#inbox.address }, body };
    let sealed: Envelope;
    try {
      sealed = await this.#inbox.sealed(this.#request.header.replyto ?? "", item);
    } catch (error) {
      const fault = errorFrame(this.#runtime, this.#request.header, toWireError(error));
      await this.#say(this.#last(fault));
      return false;
    }
    if (this.#ended !== undefined) return false;
    this.#sent += 1;
    await this.#send(sealed);
    return true;
  }

  async #say(envelope: Envelope): Promise<void> {
    // The reply address says which server speaks: a request that was delivered twice may have two.
    const header = { ...envelope.header, replyto: this.#inbox.address };
    await this.#send({ header, body: envelope.body });
  }

  async #send(envelope: Envelope): Promise<void> {
    const { replyto = "" } = this.#request.header;
    const reached = await this.#inbox.send(replyto, [envelope], this.#patience);
    if (!reached) this.#end(new WaybillError("CALL_CANCELLED", "The caller's process is gone."));
  }
}

/** The first credit stands in the request. What a caller writes is bounded, whatever it says. */
function creditOf({ header }: Envelope): number {
  const asked = Number(header.sequence);
  return Number.isSafeInteger(asked) && asked > 0 ? Math.min(asked, bufferMax) : 1;
}
