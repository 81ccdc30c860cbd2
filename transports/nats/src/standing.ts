import type { Environment } from "@waybill/core";
import { type ApiError, JetStreamApiError } from "@nats-io/jetstream";
import { isStopping, isUnheard, stoppingError } from "./errors.ts";
import type { Link } from "./link.ts";

export interface StandingParts {
  readonly link: Link;
  readonly environment: Environment;
}

interface Answer {
  readonly error?: ApiError;
}

const timeoutMs = 5_000;

/**
 * Whether what a stream that is kept by interest answers can be believed. A server before 2.9.16 that is asked to stop takes a stream's consumers
 * away while it still takes messages in, and confirms and drops what nobody has an interest in any more. It forgets the stream before its consumers,
 * so a stream that it knows after a confirmation still had them when it confirmed.
 */
export class Standing {
  readonly #parts: StandingParts;
  readonly #due = new Map<string, Promise<true>>();

  constructor(parts: StandingParts) {
    this.#parts = parts;
  }

  /** Resolves when what the stream answered until now holds. Rejects with TRANSPORT_FAILED, to be tried again, when that is not certain. */
  holds(stream: string): Promise<true> {
    const due = this.#due.get(stream);
    if (due !== undefined) return due;
    const asked = this.#ask(stream);
    this.#due.set(stream, asked);
    return asked;
  }

  /** Once for all the confirmations that one read of the socket brought. */
  async #ask(stream: string): Promise<true> {
    const { link, environment } = this.#parts;
    await new Promise<void>((resolve) => environment.timers.soon(resolve));
    this.#due.delete(stream);
    try {
      const asked = link.requests.ask(`$JS.API.STREAM.INFO.${stream}`, "", { timeoutMs });
      const { error } = (await asked).json<Answer>();
      if (error !== undefined) throw new JetStreamApiError(error);
      return true;
    } catch (cause) {
      if (!isStopping(cause) && !isUnheard(cause)) throw cause;
      throw stoppingError(`Storing in "${stream}"`, cause);
    }
  }
}
