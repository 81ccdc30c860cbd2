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
