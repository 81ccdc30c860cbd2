import type { Envelope } from "../envelope.ts";
import { type WaybillError, messageOf } from "../errors.ts";
import { Listener } from "../handling/listener.ts";
import type { FrameType } from "../ports/channel.ts";
import { sleep } from "../ports/environment.ts";
import type { Delivery, Outgoing } from "../ports/transport.ts";
import type { Runtime } from "../runtime.ts";
import { judge, mayRetry } from "../handling/taxonomy.ts";
import { isForeign, refusalOf } from "../wire/delivery.ts";
import { frame, refusedFrame } from "./frames.ts";

const prefetch = 1_000;
const lockMs = 30_000;
const endedMax = 10_000;
const addressForm = /^replies\.[A-Za-z0-9-]{1,80}$/;

/** How long frames that could not be sent are tried again. */
export interface Patience {
  readonly forMs: number;
  /** False: nobody wants them any more. */
  goesOn(): boolean;
}

interface Failing {
  readonly sinceMs: number;
  pauseMs: number;
}

/** Between two tries to send a frame; each pause is twice as long as the one before. */
const pauseMsMin = 50;
const pauseMsMax = 1_000;

/** Whether an address that came in a header is a reply queue. Anything else would let a stranger aim our answers at a queue of his choice. */
export function isReplyAddress(address: unknown): address is string {
  return typeof address === "string" && addressForm.test(address);
}

/**
 * A reply queue of this process, made when it is first needed and gone with the process. Frames reach whoever
 * registered their correlation id; all others are refused and counted. One for the calls it makes and one for those
 * it serves: a process that calls itself over the broker is on both ends of one correlation id.
 */
export class Inbox {
  readonly address: string;
  readonly #runtime: Runtime;
  readonly #open = new Map<string, (received: Envelope) => void>();
  /** Ids of ended calls, oldest first, to tell a late answer from a forged one. Bounded. */
  readonly #ended = new Set<string>();
  #listener: Listener | undefined;
  #ready: Promise<void> | undefined;

  constructor(runtime: Runtime, side: "calling" | "serving") {
    this.#runtime = runtime;
    this.address = `replies.${runtime.instance}${side === "serving" ? "-serving" : ""}`;
  }

  /** Resolves when frames can arrive. */
  ready(): Promise<void> {
    this.#ready ??= this.#declare().catch((error: unknown) => {
      this.#ready = undefined; // the next call tries again
      throw error;
    });
    return this.#ready;
  }

  register(correlationId: string, onFrame: (received: Envelope) => void): void {
    this.#open.set(correlationId, onFrame);
  }

  has(correlationId: string): boolean {
    return this.#open.has(correlationId);
  }

  unregister(correlationId: string): void {
    this.#open.delete(correlationId);
    this.#ended.add(correlationId);
    if (this.#ended.size <= endedMax) return;
    for (const oldest of this.#ended) {
      this.#ended.delete(oldest);
      break;
    }
  }

  /** The frame as it will travel. Rejects when the wire cannot seal it, which `send` would not tell. */
  async sealed(to: string, envelope: Envelope): Promise<Envelope> {
    const { wire } = this.#runtime;
    if (wire === undefined) return envelope;
    return (await wire.seal({ to: { kind: "queue", name: to }, envelope })).envelope;
  }

  /** Sends frames to another process's inbox. A process that is gone needs none, so that is counted and not thrown. Tried again as far as `patience` goes. */
  async send(to: string, frames: readonly Envelope[], patience?: Patience): Promise<boolean> {
    const batch: readonly Outgoing[] = frames.map((envelope) => ({
      to: { kind: "queue", name: to },
      envelope,
    }));
    const { transport, counters, logger } = this.#runtime;
    let failing: Failing | undefined;
    for (;;) {
      try {
        await transport.send(batch);
        return true;
      } catch (error) {
        failing ??= { sinceMs: this.#runtime.environment.clock.monotonic(), pauseMs: pauseMsMin };
        if (await this.#mayTryAgain(error, failing, patience)) continue;
        counters.replies.undeliverable += frames.length;
        logger.debug(`An answer could not be delivered to ${to}: ${messageOf(error)}`);
        return false;
      }
    }
  }

  /** Resolves after a pause when it may have passed. */
  async #mayTryAgain(error: unknown, failing: Failing, patience?: Patience): Promise<boolean> {
    if (patience === undefined || !mayRetry(judge(error).kind)) return false;
    const { clock, timers } = this.#runtime.environment;
    const leftMs = failing.sinceMs + patience.forMs - clock.monotonic();
    if (leftMs < failing.pauseMs || !patience.goesOn()) return false;
    await sleep(timers, failing.pauseMs);
    failing.pauseMs = Math.min(2 * failing.pauseMs, pauseMsMax);
    return patience.goesOn();
  }

  async stop(deadlineMs: number): Promise<void> {
    await this.#ready?.catch(() => undefined);
    await this.#listener?.stop(deadlineMs);
  }

  async #declare(): Promise<void> {
    await this.#runtime.transport.declare({
      queues: [{ name: this.address, temporary: true }],
      topics: [],
      subscriptions: [],
      streams: [],
    });
    this.#listener = new Listener(
      {
        source: { kind: "queue", name: this.address },
        // Each frame is taken before anything is awaited, so they are taken in the order in which they came; only
        // settling runs side by side.
        concurrency: prefetch,
        prefetch,
        lockMs,
        run: async ({ delivery }) => {
          const refusal = refusalOf(delivery);
          if (refusal === undefined) this.#take(delivery.envelope);
          else this.#refuse(delivery, refusal);
          await delivery.settle({ kind: "complete" });
          return undefined;
        },
      },
      this.#runtime,
    );
    this.#listener.start();
  }

  /** What nobody vouches for ends no call, or a stranger could end them all; what merely cannot be read is the call's failure. */
  #refuse(delivery: Delivery, refusal: WaybillError): void {
    const { type, source } = delivery.envelope.header;
    this.#runtime.logger.warn(`A frame of a call was refused: ${refusal.message}`, {
      type,
      source,
      code: refusal.code,
    });
    if (isForeign(delivery)) this.#runtime.counters.replies.forged += 1;
    else if (isAnswer(type as FrameType))
      this.#take(refusedFrame(this.#runtime, delivery.envelope, refusal));
  }

  #take(received: Envelope): void {
    const { correlationid = "", type, source, replyto } = received.header;
    const onFrame = this.#open.get(correlationid);
    if (onFrame !== undefined) return onFrame(received);
    const { replies } = this.#runtime.counters;
    if (!this.#ended.has(correlationid)) {
      replies.forged += 1;
      this.#runtime.logger.warn(
        "An answer was refused: no call of this process has its correlation id.",
        { type, source },
      );
      return;
    }
    if (isAnswer(type as FrameType)) replies.late += 1;
    // Who begins to work for a caller that is gone is told so.
    if (type === "waybill.accepted" && isReplyAddress(replyto)) {
      void this.send(replyto, [frame(this.#runtime, received.header, { type: "waybill.cancel" })]);
    }
  }
}

function isAnswer(type: FrameType): boolean {
  return (
    type === "waybill.answer" ||
    type === "waybill.error" ||
    type === "waybill.closing" ||
    type === "waybill.item"
  );
}
