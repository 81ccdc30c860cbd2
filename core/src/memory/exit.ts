import type { Failure } from "../ports/transport.ts";
import type { Kernel } from "./kernel.ts";
import type { Message, Parcel } from "./message.ts";
import type { Stock } from "./stock.ts";

/** What a mailbox does with its messages. */
export interface ExitActions {
  /** Takes a message out whose time is over. */
  expire(message: Message): void;
  /** Sets aside one that was taken out. */
  bury(message: Message, failure: Failure): void;
  discard(message: Message): void;
  create(parcel: Parcel): Message;
}

/** By which messages leave a mailbox that forwards. */
export class Exit {
  readonly #kernel: Kernel;
  readonly #stock: Stock;
  readonly #actions: ExitActions;

  constructor(kernel: Kernel, stock: Stock, actions: ExitActions) {
    this.#kernel = kernel;
    this.#stock = stock;
    this.#actions = actions;
  }

  /** Whether what arrives now goes on: not while the mailbox is paused, nor behind others that wait. */
  isOpen(key: string | undefined): boolean {
    const { settings, receivers, sessions, line } = this.#stock;
    if (settings.forwardsTo === undefined || receivers.paused !== undefined) return false;
    return key !== undefined && sessions !== undefined ? !sessions.has(key) : line.length === 0;
  }

  /** One arrived and went on. */
  passed(type: string): void {
    this.#stock.book.count(type, "accepted");
    this.#stock.book.count(type, "forwarded");
  }

  /** One arrived and goes no further. */
  stop(parcel: Parcel, failure: Failure): void {
    this.#stock.book.count(parcel.envelope.header.type, "accepted");
    this.#kernel.charge(parcel.bytes);
    this.#actions.bury(this.#actions.create(parcel), failure);
  }

  /** The next that waits and may go on; it stays until it is `forwarded` or `stopped`. */
  next(): Message | undefined {
    const { line, sessions, receivers } = this.#stock;
    if (receivers.paused !== undefined) return undefined;
    for (;;) {
      const next = line.peek() ?? sessions?.next()?.line.peek();
      if (next === undefined || next.parcel.notAfter > this.#kernel.now()) return next;
      this.#actions.expire(next);
    }
  }

  forwarded(message: Message): void {
    this.#actions.discard(message);
  }

  stopped(message: Message, failure: Failure): void {
    (message.session?.line ?? this.#stock.line).remove(message);
    this.#actions.bury(message, failure);
  }
}
