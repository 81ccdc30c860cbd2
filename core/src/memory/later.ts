import type { Kernel } from "./kernel.ts";
import type { Message } from "./message.ts";

/** What of one mailbox waits for its moment. What was sent for later is found by the id that its sender knows. */
export class Later {
  readonly #kernel: Kernel;
  #count = 0;

  constructor(kernel: Kernel) {
    this.#kernel = kernel;
  }

  get count(): number {
    return this.#count;
  }

  add(message: Message, at: number): void {
    message.state = "scheduled";
    this.#count += 1;
    this.#kernel.due.set(message, Math.min(at, message.parcel.notAfter));
    // One that waits for its retry was delivered: its sender cannot take it back.
    if (message.attempt > 0) return;
    const { id } = message.parcel.envelope.header;
    const same = this.#kernel.later.get(id);
    if (same === undefined) this.#kernel.later.set(id, new Set([message]));
    else same.add(message);
  }

  remove(message: Message): void {
    this.#count -= 1;
    this.#kernel.due.cancel(message);
    const { id } = message.parcel.envelope.header;
    const same = this.#kernel.later.get(id);
    if (same?.delete(message) === true && same.size === 0) this.#kernel.later.delete(id);
  }
}
