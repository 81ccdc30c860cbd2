import type { Envelope } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import type { OpenSettings } from "../ports/channel.ts";
import type { Timer } from "../ports/environment.ts";
import type { Runtime } from "../runtime.ts";
import { frame } from "./frames.ts";
import { type Inbox, isReplyAddress } from "./inbox.ts";
import { ItemQueue } from "./item-queue.ts";

/** A feed whose other side says nothing for so long is lost; both sides speak at a third of it. */
export const feedSilenceMs = 15_000;
export const beatsPerSilence = 3;

/** The caller's side of one feed over a transport: takes frames in order, gives credit as items are read. */
export class FeedClient {
  readonly #runtime: Runtime;
  readonly #inbox: Inbox;
  readonly #request: Envelope;
  readonly #settings: OpenSettings;
  readonly #queue = new ItemQueue<Envelope>();
  #server: string | undefined;
  #expected = 0;
  #read = 0;
  #granted: number;
  #heardAt: number;
  #beat: Timer | undefined;
  #upstreamStarted = false;

  constructor(runtime: Runtime, inbox: Inbox, feed: { request: Envelope; settings: OpenSettings }) {
    this.#runtime = runtime;
    this.#inbox = inbox;
    this.#request = feed.request;
    this.#settings = feed.settings;
    this.#granted = feed.settings.bufferMax;
    this.#heardAt = runtime.environment.clock.monotonic();
  }

  async *items(): AsyncIterable<Envelope> {
    const { signal, bufferMax } = this.#settings;
    const { correlationid = "" } = this.#request.header;
    await this.#inbox.ready();
    const onAbort = (): void => this.#queue.fail(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    this.#inbox.register(correlationid, (received) => this.#take(received));
    try {
      await this.#start();
      this.#keepAlive();
      for await (const item of this.#queue) {
        yield item;
        this.#read += 1;
        // Half a buffer at a time, so that credit costs one frame for many items.
        if (this.#read + bufferMax - this.#granted >= Math.ceil(bufferMax / 2)) this.#grant();
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      this.#beat?.cancel();
      this.#inbox.unregister(correlationid, (late) => this.#cancelLate(late));
      if (this.#server !== undefined) await this.#say(this.#server, "waybill.cancel");
    }
  }

  async #start(): Promise<void> {
    const header = { ...this.#request.header, replyto: this.#inbox.address, sequence: String(this.#granted) };
    const now = this.#runtime.environment.clock.now();
    await this.#runtime.transport.send([
      {
        to: { kind: "queue", name: header.type },
        envelope: { header, body: this.#request.body },
        // A feed that nobody serves soon has no caller left who would read it.
        notAfter: now + feedSilenceMs,
        discardExpired: true,
      },
    ]);
  }

  #take(received: Envelope): void {
    const { type, sequence, replyto } = received.header;
    this.#heardAt = this.#runtime.environment.clock.monotonic();
    if (type === "waybill.accepted" && isReplyAddress(replyto)) {
      this.#server = replyto;
      if (!this.#upstreamStarted) void this.#sendUpstream(replyto);
      this.#upstreamStarted = true;
      return;
    }
    if (type === "waybill.credit") return;
    if (type !== "waybill.item" && type !== "waybill.end" && type !== "waybill.error") return;
    const position = Number(sequence);
    if (position < this.#expected) return; // delivered twice; taken once
    if (position > this.#expected) {
      this.#queue.fail(new WaybillError("FEED_FAILED", `"${this.#request.header.type}" lost items on the way. Open it again.`, { retryable: true }));
      return;
    }
    this.#expected += 1;
    if (type === "waybill.item") return this.#queue.push(received);
    this.#server = undefined;
    if (type === "waybill.error") this.#queue.push(received);
    this.#queue.end();
  }

  #grant(): void {
    this.#granted = this.#read + this.#settings.bufferMax;
    if (this.#server !== undefined) void this.#say(this.#server, "waybill.credit", this.#granted);
  }

  #keepAlive(): void {
    const { timers, clock } = this.#runtime.environment;
    this.#beat = timers.set(() => {
      if (clock.monotonic() - this.#heardAt > feedSilenceMs) {
        const text = `"${this.#request.header.type}" fell silent for ${feedSilenceMs} ms: the service that serves it is not running or has died. Open it again.`;
        this.#queue.fail(new WaybillError("FEED_FAILED", text, { retryable: true }));
        return;
      }
      if (this.#server !== undefined) void this.#say(this.#server, "waybill.credit", this.#granted);
      this.#keepAlive();
    }, feedSilenceMs / beatsPerSilence);
  }

  async #sendUpstream(server: string): Promise<void> {
    const { upstream } = this.#settings;
    if (upstream === undefined) return;
    let sequence = 0;
    try {
      for await (const { body } of upstream) {
        if (this.#settings.signal.aborted) return;
        const item = frame(this.#runtime, this.#request.header, { type: "waybill.upstream-item", body, sequence: sequence++ });
        // Awaited: a transport that is full slows the caller's own source down.
        await this.#inbox.send(server, [item]);
      }
      await this.#say(server, "waybill.upstream-end", sequence);
    } catch (error) {
      this.#queue.fail(error);
    }
  }

  #cancelLate({ header }: Envelope): void {
    if (header.type === "waybill.accepted" && isReplyAddress(header.replyto)) void this.#say(header.replyto, "waybill.cancel");
  }

  async #say(to: string, type: "waybill.cancel" | "waybill.credit" | "waybill.upstream-end", sequence?: number): Promise<void> {
    await this.#inbox.send(to, [frame(this.#runtime, this.#request.header, { type, ...(sequence !== undefined && { sequence }) })]);
  }
}
