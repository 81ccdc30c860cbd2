import type { Envelope } from "../envelope.ts";
import type { CallSettings, Channel, IncomingCall, OpenSettings, Responder, Serving } from "../ports/channel.ts";

/** Calls an owner in this very process: same checks, same encoding, no broker in between. */
export class LocalChannel implements Channel {
  readonly name = "local";
  readonly #responders = new Map<string, Responder>();

  has(address: string): boolean {
    return this.#responders.has(address);
  }

  call(request: Envelope, { signal }: CallSettings): Promise<Envelope> {
    const responder = this.#responders.get(request.header.type) as Responder;
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason as Error);
      signal.addEventListener("abort", onAbort, { once: true });
      void responder.answer(request, incoming(signal, undefined)).then((answer) => {
        signal.removeEventListener("abort", onAbort);
        resolve(answer);
      });
    });
  }

  async *open(request: Envelope, { signal, upstream }: OpenSettings): AsyncIterable<Envelope> {
    const responder = this.#responders.get(request.header.type) as Responder;
    const items = responder.serve(request, incoming(signal, upstream))[Symbol.asyncIterator]();
    const aborted = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
    aborted.catch(() => undefined);
    try {
      for (;;) {
        const next = await Promise.race([items.next(), aborted]);
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      // Not awaited: a handler that waits for something else would hold the caller.
      void items.return?.();
    }
  }

  serve(address: string, responder: Responder): Promise<Serving> {
    this.#responders.set(address, responder);
    return Promise.resolve({
      inFlight: 0,
      stop: () => {
        this.#responders.delete(address);
        return Promise.resolve(0);
      },
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#responders.clear();
    return Promise.resolve();
  }
}

function incoming(signal: AbortSignal, upstream: AsyncIterable<Envelope> | undefined): IncomingCall {
  return {
    onCancel: (callback) => {
      if (signal.aborted) callback(signal.reason);
      else signal.addEventListener("abort", () => callback(signal.reason), { once: true });
    },
    upstream: upstream ?? nothing(),
  };
}

async function* nothing(): AsyncIterable<never> {
  // A feed without upstream reads an empty one.
}
