import type { Environment, Settled } from "@waybill/core";
import { isUnheard } from "./errors.ts";
import type { Link } from "./link.ts";
import type { Pulled } from "./pull.ts";

export interface AcknowledgementParts {
  readonly link: Link;
  readonly environment: Environment;
}

/** What is acknowledged in one turn, and what the server says to it. */
interface Turn {
  readonly replies: string[];
  readonly settled: Promise<Settled>;
}

const answerMs = 5_000;
export const acknowledged = "+ACK";
const noDomain = "_";

/**
 * Acknowledgements of one consumer, which the server confirms. Those of one turn leave together. One server takes what one connection says to one
 * consumer in its order, so that its answer to the last is one for all; in a cluster the consumer may have moved in between, and each is answered.
 */
export class Acknowledgements {
  readonly #parts: AcknowledgementParts;
  #turn: Turn | undefined;

  constructor(parts: AcknowledgementParts) {
    this.#parts = parts;
  }

  acknowledge({ reply, domain }: Pulled): Promise<Settled> {
    const isElsewhere = domain !== undefined && domain !== noDomain;
    if (isElsewhere || this.#parts.link.connection.info?.cluster !== undefined)
      return this.#confirmed(reply);
    this.#turn ??= this.#begin();
    this.#turn.replies.push(reply);
    return this.#turn.settled;
  }

  #begin(): Turn {
    const replies: string[] = [];
    const settled = new Promise<Settled>((resolve) =>
      this.#parts.environment.timers.soon(() => {
        this.#turn = undefined;
        resolve(this.#write(replies));
      }),
    );
    return { replies, settled };
  }

  /** Without a pause in between: what a connection that ends had not sent, nats.js forgets as a whole. */
  #write(replies: readonly string[]): Promise<Settled> {
    const { connection } = this.#parts.link;
    const last = replies.length - 1;
    try {
      for (let index = 0; index < last; index++)
        connection.publish(replies[index] ?? "", acknowledged);
    } catch {
      return Promise.resolve("unknown");
    }
    return this.#confirmed(replies[last] ?? "");
  }

  #confirmed(reply: string): Promise<Settled> {
    return tellServer(this.#parts.link, { reply, word: acknowledged });
  }
}

interface Word {
  readonly reply: string;
  readonly word: string;
  readonly timeoutMs?: number | undefined;
}

/** Resolves when the consumer has taken that word, or cannot any more. */
export function tellServer(
  { requests }: Link,
  { reply, word, timeoutMs = answerMs }: Word,
): Promise<Settled> {
  return requests.ask(reply, word, { timeoutMs }).then(
    () => "settled",
    // The consumer is gone, and what it held with it.
    (thrown: unknown) => (isUnheard(thrown) ? "lockLost" : "unknown"),
  );
}
