import type { Envelope } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import type {
  CallSettings,
  Channel,
  IncomingCall,
  OpenSettings,
  Responder,
  Serving,
} from "../ports/channel.ts";
import type { Environment } from "../ports/environment.ts";
import { within } from "../within.ts";
import { sessionsMax, tooManyFeeds } from "./feed-server.ts";

/** An owner in this process, and the calls that it is answering now. */
interface Owner {
  readonly responder: Responder;
  readonly running: Set<Running>;
  feeds: number;
  paused: boolean;
}

interface Running {
  readonly done: Promise<void>;
  cancel(reason: unknown): void;
}

/** Calls an owner in this very process: same checks, same encoding, no broker in between. */
export class LocalChannel implements Channel {
  readonly name = "local";
  readonly #environment: Environment;
  readonly #owners = new Map<string, Owner>();

  constructor(environment: Environment) {
    this.#environment = environment;
  }

  /** Whether an owner here takes calls now. Calls of one that is paused go over the transport and wait there. */
  has(address: string): boolean {
    return this.#owners.get(address)?.paused === false;
  }

  call(request: Envelope, { signal }: CallSettings): Promise<Envelope> {
    const { responder, running } = this.#owners.get(request.header.type) as Owner;
    return new Promise((resolve, reject) => {
      let onCancel: ((reason: unknown) => void) | undefined;
      const cancel = (reason: unknown): void => onCancel?.(reason);
      const onAbort = (): void => {
        cancel(signal.reason);
        reject(signal.reason as Error);
      };
      signal.addEventListener("abort", onAbort, { once: true });
      const done = responder
        .answer(request, {
          onCancel: (callback) => {
            onCancel = callback;
            if (signal.aborted) callback(signal.reason);
          },
          upstream: nothing(),
        })
        .then(resolve, reject)
        .finally(() => {
          signal.removeEventListener("abort", onAbort);
          running.delete(entry);
        });
      const entry: Running = { done, cancel };
      running.add(entry);
    });
  }

  async *open(request: Envelope, { signal, upstream }: OpenSettings): AsyncIterable<Envelope> {
    const owner = this.#owners.get(request.header.type) as Owner;
    if (owner.feeds >= sessionsMax) throw tooManyFeeds();
    const served = owner.responder.serve(request, incoming(signal, upstream ?? nothing()));
    const items = served[Symbol.asyncIterator]();
    owner.feeds += 1;
    let refuse: ((reason: unknown) => void) | undefined;
    const onAbort = (): void => refuse?.(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      for (;;) {
        signal.throwIfAborted();
        // Not Promise.race with one long promise: that one would remember every item.
        const next = await new Promise<IteratorResult<Envelope>>((resolve, reject) => {
          refuse = reject;
          items.next().then(resolve, reject);
        });
        if (next.done === true) return;
        yield next.value;
      }
    } finally {
      signal.removeEventListener("abort", onAbort);
      owner.feeds -= 1;
      // Not awaited: a handler that waits for something else would hold the caller.
      void owner.responder.release(Promise.resolve(items.return?.()));
    }
  }

  serve(address: string, responder: Responder): Promise<Serving> {
    const owner: Owner = { responder, running: new Set(), feeds: 0, paused: false };
    this.#owners.set(address, owner);
    return Promise.resolve({
      pause: () => void (owner.paused = true),
      resume: () => void (owner.paused = false),
      get feeds() {
        return owner.feeds;
      },
      // Handlers that are still running may ask each other, so the owner answers until nobody asks any more.
      stop: async (deadlineMs) => {
        await within(this.#environment, idle(owner), deadlineMs);
        this.#owners.delete(address);
        const left = [...owner.running];
        for (const call of left)
          call.cancel(
            new WaybillError("CLOSED", "The bus is closing and its deadline has passed."),
          );
        return left.length;
      },
    });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#owners.clear();
    return Promise.resolve();
  }
}

async function idle({ running }: Owner): Promise<void> {
  while (running.size > 0) await Promise.all([...running].map(({ done }) => done));
}

function incoming(signal: AbortSignal, upstream: AsyncIterable<Envelope>): IncomingCall {
  return {
    onCancel: (callback) => {
      if (signal.aborted) callback(signal.reason);
      else signal.addEventListener("abort", () => callback(signal.reason), { once: true });
    },
    upstream,
  };
}

async function* nothing(): AsyncIterable<never> {
  // A call without upstream reads an empty one.
}
