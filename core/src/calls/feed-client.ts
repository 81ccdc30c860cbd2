import type { Envelope } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import type { OpenSettings } from "../ports/channel.ts";
import type { Timer } from "../ports/environment.ts";
import type { Runtime } from "../runtime.ts";
import { frame, readError } from "./frames.ts";
import { type Inbox, isReplyAddress } from "./inbox.ts";
import { ItemQueue } from "./item-queue.ts";

/** A feed whose other side says nothing for so long is lost; both sides speak at a third of it. */
export const feedSilenceMs = 6_000;
const beatMs = feedSilenceMs / 3;
/** Most upstream items on their way or waiting for the handler. */
export const upstreamWindow = 64;

/** When to speak and to look again: at the next beat, and at the very end of the silence if that comes first. */
export function beatDelayMs(silentMs: number): number {
  return Math.max(0, Math.min(beatMs, feedSilenceMs - silentMs));
}

/** The caller's side of one feed over a transport: takes frames in order, gives credit as items are read. */
export class FeedClient {
  readonly #runtime: Runtime;
  readonly #inbox: Inbox;
  readonly #request: Envelope;
  readonly #settings: OpenSettings;
  readonly #queue = new ItemQueue<Envelope>();
  /** Reply address of the process that serves this feed: the first one that accepted it, and no other. */
  #server: string | undefined;
  #over = false;
  #expected = 0;
  #read = 0;
  #granted: number;
  #heardAt: number;
  #beat: Timer | undefined;
  #upstreamCredit = upstreamWindow;
  #wakeUpstream: (() => void) | undefined;

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
    const aborted = Promise.withResolvers<never>();
    aborted.promise.catch(() => undefined);
    const onAbort = (): void => {
      aborted.reject(signal.reason);
      this.#queue.fail(signal.reason);
      void this.#leave(); // now, not when the caller comes back for the next item
    };
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    try {
      // A broker that does not answer must not hold a caller that gives up.
      await Promise.race([this.#inbox.ready(), aborted.promise]);
      signal.throwIfAborted();
      this.#inbox.register(correlationid, (received) => this.#take(received));
      await Promise.race([this.#start(), aborted.promise]);
      this.#keepAlive();
      for await (const item of this.#queue) {
        yield item;
        this.#read += 1;
        // Half a buffer at a time, so that credit costs one frame for many items.
        if (this.#read + bufferMax - this.#granted >= Math.ceil(bufferMax / 2)) this.#grant();
      }
    } finally {
      this.#inbox.unregister(correlationid);
      await Promise.race([this.#leave(), aborted.promise]).catch(() => undefined);
      signal.removeEventListener("abort", onAbort);
    }
  }

  async #start(): Promise<void> {
    const header = {
      ...this.#request.header,
      replyto: this.#inbox.address,
      sequence: String(this.#granted),
    };
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
    // Whatever comes first tells who serves: an item may overtake the frame that says so.
    if (type === "waybill.accepted" || this.#server === undefined) this.#accept(replyto);
    if (type === "waybill.accepted") return;
    if (replyto !== this.#server) return;
    this.#heardAt = this.#runtime.environment.clock.monotonic();
    if (type === "waybill.credit") return this.#mayGoOn(Number(sequence));
    if (!carriesOn(type)) return;
    const position = Number(sequence);
    if (position < this.#expected) return; // delivered twice; taken once
    if (position !== this.#expected) {
      this.#queue.fail(
        new WaybillError(
          "FEED_FAILED",
          `"${this.#request.header.type}" lost items on the way. Open it again.`,
          { retryable: true },
        ),
      );
      return;
    }
    this.#expected += 1;
    if (type === "waybill.item") return this.#queue.push(received);
    this.#over = true;
    if (type === "waybill.closing")
      return this.#queue.fail(readError(this.#runtime, received, "FEED_FAILED"));
    if (type === "waybill.error") this.#queue.push(received);
    this.#queue.end();
  }

  /** A request that is delivered twice may be accepted twice. Items of two servers must not be mixed, so the second one is sent away. */
  #accept(replyto: string | undefined): void {
    if (!isReplyAddress(replyto) || replyto === this.#server) return;
    if (this.#server !== undefined) return void this.#say(replyto, "waybill.cancel");
    this.#server = replyto;
    this.#heardAt = this.#runtime.environment.clock.monotonic();
    void this.#sendUpstream(replyto);
  }

  #grant(): void {
    this.#granted = this.#read + this.#settings.bufferMax;
    if (this.#server !== undefined && !this.#over)
      void this.#say(this.#server, "waybill.credit", this.#granted);
  }

  #keepAlive(): void {
    const { timers, clock } = this.#runtime.environment;
    this.#beat = timers.set(
      () => {
        if (clock.monotonic() - this.#heardAt >= feedSilenceMs) {
          const text = `"${this.#request.header.type}" fell silent for ${feedSilenceMs} ms: the service that serves it is not running or has died. Open it again.`;
          this.#queue.fail(new WaybillError("FEED_FAILED", text, { retryable: true }));
          return;
        }
        if (this.#server !== undefined && !this.#over)
          void this.#say(this.#server, "waybill.credit", this.#granted);
        this.#keepAlive();
      },
      beatDelayMs(clock.monotonic() - this.#heardAt),
    );
  }

  /** Once, however the feed ends: a server that still works for it is told to stop. */
  async #leave(): Promise<void> {
    const toldBy = this.#over ? undefined : this.#server;
    this.#over = true;
    this.#beat?.cancel();
    this.#wakeUpstream?.();
    if (toldBy !== undefined) await this.#say(toldBy, "waybill.cancel");
  }

  async #sendUpstream(server: string): Promise<void> {
    const { upstream } = this.#settings;
    if (upstream === undefined) return;
    let sequence = 0;
    try {
      for await (const { body } of upstream) {
        while (sequence >= this.#upstreamCredit && !this.#over)
          await new Promise<void>((resolve) => (this.#wakeUpstream = resolve));
        if (this.#over) return;
        const item = frame(this.#runtime, this.#request.header, {
          type: "waybill.upstream-item",
          body,
          sequence: sequence++,
        });
        const sealed = await this.#inbox.sealed(server, item);
        await this.#inbox.send(server, [sealed], {
          forMs: feedSilenceMs,
          goesOn: () => !this.#over,
        });
      }
      await this.#say(server, "waybill.upstream-end", sequence);
    } catch (error) {
      this.#queue.fail(error);
    }
  }

  #mayGoOn(credit: number): void {
    if (credit > this.#upstreamCredit) this.#upstreamCredit = credit;
    this.#wakeUpstream?.();
  }

  async #say(
    to: string,
    type: "waybill.cancel" | "waybill.credit" | "waybill.upstream-end",
    sequence?: number,
  ): Promise<void> {
    await this.#inbox.send(to, [
      frame(this.#runtime, this.#request.header, {
        type,
        ...(sequence !== undefined && { sequence }),
      }),
    ]);
  }
}

/** Whether a frame has its place in the order of the feed. */
function carriesOn(type: string): boolean {
  return (
    type === "waybill.item" ||
    type === "waybill.end" ||
    type === "waybill.error" ||
    type === "waybill.closing"
  );
}
