import type { Failure } from "../ports/transport.ts";
import type { Message } from "./message.ts";

/** What was set aside, dead or deferred, in the order in which that happened. */
export class Aside {
  readonly #messages = new Map<number, Message>();
  #dead = 0;

  get dead(): number {
    return this.#dead;
  }

  get deferred(): number {
    return this.#messages.size - this.#dead;
  }

  add(message: Message, state: "dead" | "deferred"): void {
    message.state = state;
    this.#messages.set(message.seq, message);
    if (state === "dead") this.#dead += 1;
  }

  get(seq: number): Message | undefined {
    return this.#messages.get(seq);
  }

  remove(message: Message): void {
    if (!this.#messages.delete(message.seq)) return;
    if (message.state === "dead") this.#dead -= 1;
    message.state = "gone";
  }

  first(): Message | undefined {
    return this.#messages.values().next().value;
  }

  [Symbol.iterator](): Iterator<Message> {
    return this.#messages.values();
  }
}

/** The failure that the broker itself writes, where no handler ran. */
export function brokerFailure(
  reason: "EXPIRED" | "SUBSCRIBER_MISSING",
  message: string,
  at: {
    readonly now: number;
    readonly attempts: number;
    readonly firstFailedAt?: number | undefined;
  },
): Failure {
  const { now, attempts, firstFailedAt = now } = at;
  return { reason, message, service: "", handler: "", attempts, firstFailedAt, lastFailedAt: now };
}
