import { brokerFailure } from "../adapter/failures.ts";
import type { LeftBy } from "../ports/ledger.ts";
import type { Failure } from "../ports/transport.ts";
import type { Kernel } from "./kernel.ts";
import { handOver } from "./kept.ts";
import type { Mailbox } from "./mailbox.ts";
import type { Message } from "./message.ts";
import type { Stock } from "./stock.ts";

/** How messages leave a mailbox for good, or come among its dead letters. */
export class Leaving {
  readonly #kernel: Kernel;
  readonly #stock: Stock;
  readonly #mailbox: Mailbox;

  constructor(kernel: Kernel, stock: Stock, mailbox: Mailbox) {
    this.#kernel = kernel;
    this.#stock = stock;
    this.#mailbox = mailbox;
  }

  /** Its time is over. */
  expire(message: Message): void {
    this.#lift(message);
    const { attempt: attempts, parcel, failure } = message;
    if (parcel.discardExpired) return this.leave(message, "expired");
    const now = this.#kernel.now();
    const words = `It was of use until ${new Date(parcel.notAfter).toISOString()} and was not handled by then.`;
    const firstFailedAt = failure?.firstFailedAt;
    this.bury(message, brokerFailure("EXPIRED", words, { now, attempts, firstFailedAt }));
  }

  /** Sets aside one that stands nowhere any more. */
  bury(message: Message, failure: Failure): void {
    this.#kernel.due.cancel(message);
    message.failure = failure;
    const { keeper } = this.#stock.settings;
    if (keeper === undefined) this.#stock.aside.add(message, "dead");
    else handOver(message, this.#mailbox, keeper);
  }

  /** Books that one which stands nowhere any more leaves for good. */
  leave(message: Message, by: LeftBy | "completed"): void {
    this.#stock.book.count(message.parcel.envelope.header.type, by);
    this.#forget(message);
  }

  /** Deletes a message that nobody holds. */
  discard(message: Message, by: LeftBy): void {
    this.#stock.book.count(message.parcel.envelope.header.type, by);
    this.takeOut(message);
  }

  /** Removes a message that nobody holds from where it stands. */
  takeOut(message: Message): void {
    this.#lift(message);
    this.#forget(message);
    (message.origin ?? this.#mailbox).sessions?.unpark(message);
  }

  #lift(message: Message): void {
    if (message.state === "ready") (message.session?.line ?? this.#stock.line).remove(message);
    else if (message.state === "scheduled") this.#stock.later.remove(message);
    else this.#stock.aside.remove(message);
  }

  #forget(message: Message): void {
    this.#kernel.due.cancel(message);
    message.state = "gone";
    this.#kernel.free(message.parcel.bytes);
  }
}
