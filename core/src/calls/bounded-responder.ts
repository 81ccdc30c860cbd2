import type { Envelope } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import type { IncomingCall, Responder } from "../ports/channel.ts";
import type { Runtime } from "../runtime.ts";
import { errorFrame, toWireError } from "./frames.ts";
import type { Places, Waiter } from "./places.ts";

export interface Bound {
  readonly places: Places;
  /** Most calls that may wait for a place; one more is refused with BUFFER_FULL. */
  readonly waitingMax: number;
}

/**
 * Lets queries through while there are places for them. One that finds none waits, no longer than its deadline and its caller do.
 * Feeds pass: they may stay open for days, and a place is for work that ends.
 */
export class BoundedResponder implements Responder {
  readonly #inner: Responder;
  readonly #runtime: Runtime;
  readonly #bound: Bound;

  constructor(inner: Responder, runtime: Runtime, bound: Bound) {
    this.#inner = inner;
    this.#runtime = runtime;
    this.#bound = bound;
  }

  get verb(): "answer" | "serve" {
    return this.#inner.verb;
  }

  async answer(request: Envelope, call: IncomingCall): Promise<Envelope> {
    const { places, waitingMax } = this.#bound;
    let waited = call;
    if (!places.take()) {
      if (places.waiting >= waitingMax) return this.#refuse(request, tooMany(request, waitingMax));
      const relay = new CancelRelay(call);
      const reason = await this.#place(request, relay);
      if (reason !== undefined) return this.#refuse(request, reason);
      waited = relay;
    }
    try {
      return await this.#inner.answer(request, waited);
    } finally {
      places.leave();
    }
  }

  serve(request: Envelope, call: IncomingCall): AsyncIterable<Envelope> {
    return this.#inner.serve(request, call);
  }

  release(ending: Promise<unknown>): Promise<void> {
    return this.#inner.release(ending);
  }

  /** Resolves with nothing when it has a place, with the reason when it ends before. */
  #place({ header }: Envelope, relay: CancelRelay): Promise<{ reason: unknown } | undefined> {
    const { places } = this.#bound;
    const { clock, timers } = this.#runtime.environment;
    return new Promise((resolve) => {
      const waiter: Waiter = {
        enter: () => {
          timer?.cancel();
          resolve(undefined);
        },
      };
      const end = (reason: unknown): void => {
        timer?.cancel();
        places.giveUp(waiter);
        resolve({ reason });
      };
      const { deadline } = header;
      const timer =
        deadline === undefined
          ? undefined
          : timers.set(() => end(tooLate(header)), Math.max(0, Date.parse(deadline) - clock.now()));
      places.wait(waiter);
      relay.onCancel(end);
    });
  }

  #refuse({ header }: Envelope, { reason }: { reason: unknown }): Envelope {
    const counted = this.#runtime.counters.of(header.type);
    const wire = toWireError(reason);
    if (wire.code === "BUFFER_FULL") counted.failed += 1;
    else counted.abandoned += 1;
    return errorFrame(this.#runtime, header, wire);
  }
}

/** A channel is asked once to watch for the caller's end; whoever has the call in hand hears of it. */
class CancelRelay implements IncomingCall {
  readonly #call: IncomingCall;
  #callback: ((reason: unknown) => void) | undefined;
  #ended: { readonly reason: unknown } | undefined;

  constructor(call: IncomingCall) {
    this.#call = call;
  }

  get upstream(): AsyncIterable<Envelope> {
    return this.#call.upstream;
  }

  onCancel(callback: (reason: unknown) => void): void {
    const first = this.#callback === undefined;
    this.#callback = callback;
    if (this.#ended !== undefined) return callback(this.#ended.reason);
    if (!first) return;
    this.#call.onCancel((reason) => {
      this.#ended = { reason };
      this.#callback?.(reason);
    });
  }
}

function tooMany({ header }: Envelope, waitingMax: number): { reason: WaybillError } {
  return {
    reason: new WaybillError(
      "BUFFER_FULL",
      `"${header.type}" is busy here and ${waitingMax} more calls of it wait already. Ask again later, or raise its handler's concurrency or prefetch.`,
      { retryable: true, details: { waitingMax } },
    ),
  };
}

function tooLate({ type, deadline }: Envelope["header"]): WaybillError {
  return new WaybillError(
    "DEADLINE_EXCEEDED",
    `"${type}" was busy until its caller stopped waiting at ${deadline}; nothing was done.`,
  );
}
