import type { LedgerEntry, LeftBy } from "../ports/ledger.ts";
import type {
  AddressSettings,
  AddressState,
  MessageState,
  Settlement,
} from "../ports/transport.ts";
import type { Aside } from "./aside.ts";
import { Exit } from "./exit.ts";
import { handBack, isKept } from "./kept.ts";
import type { Kernel } from "./kernel.ts";
import { Leaving } from "./leaving.ts";
import { Message, type MessageHome, type Parcel, expiryLifted, timeless } from "./message.ts";
import type { MemoryReceiver, Supply } from "./receiver.ts";
import type { Receivers } from "./receivers.ts";
import { Remembered } from "./remembered.ts";
import { Serving } from "./serving.ts";
import { Sessions } from "./sessions.ts";
import { Stock } from "./stock.ts";

/** A queue, or a subscription's own queue: competing receivers, each message to one of them at a time. */
export class Mailbox implements Supply, MessageHome {
  readonly address: string;
  readonly kind: "queue" | "subscription";
  /** Itself as the only place of a message for it. */
  readonly alone: readonly [Mailbox] = [this];
  readonly remembered: Remembered;
  readonly #kernel: Kernel;
  readonly stock: Stock;
  readonly #leaving: Leaving;
  readonly #serving: Serving;
  /** By which messages go on to another address. */
  readonly exit: Exit;
  dropped = false;

  constructor(kind: "queue" | "subscription", address: string, kernel: Kernel) {
    this.kind = kind;
    this.address = address;
    this.#kernel = kernel;
    this.remembered = new Remembered(kernel);
    this.stock = new Stock(kernel, this);
    this.#leaving = new Leaving(kernel, this.stock, this);
    this.#serving = new Serving(kernel, this.stock, (message) => this.#leaving.expire(message));
    this.exit = new Exit(kernel, this.stock, {
      expire: (message) => this.#leaving.expire(message),
      bury: (message, failure) => this.#leaving.bury(message, failure),
      discard: (message) => this.discard(message, "forwarded"),
      create: (parcel) => new Message(kernel.nextSequence(), parcel, this),
    });
  }

  get aside(): Aside {
    return this.stock.aside;
  }

  get receivers(): Receivers {
    return this.stock.receivers;
  }

  get sessions(): Sessions | undefined {
    return this.stock.sessions;
  }

  /** From now on messages with a key are kept in sessions. */
  keepSessions(): void {
    this.stock.sessions ??= new Sessions(this.#kernel, () => this.receivers.wake());
  }

  /** Everything that is set of it. */
  set(): Omit<AddressSettings, "address" | "kind"> {
    return this.stock.set();
  }

  put(parcel: Parcel): void {
    this.stock.book.count(parcel.envelope.header.type, "accepted");
    const message = new Message(this.#kernel.nextSequence(), parcel, this);
    this.#kernel.charge(parcel.bytes);
    if (parcel.notBefore > parcel.enqueuedAt) this.stock.later.add(message, parcel.notBefore);
    else this.#enqueue(message);
  }

  attach(receiver: MemoryReceiver): void {
    this.receivers.attach(receiver);
    if (this.stock.waits) receiver.wake();
  }

  detach(receiver: MemoryReceiver): void {
    this.receivers.detach(receiver);
    if (this.stock.waits) this.receivers.wake();
  }

  hasWorkFor(receiver: MemoryReceiver): boolean {
    const next = this.stock.line.peek();
    if (next !== undefined && receiver.fits(next.parcel.bytes)) return true;
    const head = this.sessions?.nextFor(receiver)?.line.peek();
    return head !== undefined && receiver.fits(head.parcel.bytes);
  }

  serve(receiver: MemoryReceiver): void {
    this.#serving.serve(receiver);
  }

  check(): void {
    // A queue can do all of them.
  }

  settle(message: Message, settlement: Settlement): void {
    this.stock.inFlight -= 1;
    this.#end(message, settlement);
    if (message.session !== undefined) this.sessions?.unlock(message.session);
  }

  #end(message: Message, settlement: Settlement): void {
    switch (settlement.kind) {
      case "complete":
        return this.#leaving.leave(message, "completed");
      case "retry":
        message.failure = settlement.failure;
        if (settlement.delayMs > 0 || message.session !== undefined)
          return this.#holdBack(message, settlement.delayMs);
        return this.#enqueue(message);
      case "release":
        message.attempt -= 1;
        return this.#holdBack(message, settlement.delayMs ?? 0);
      case "deadLetter":
        if (settlement.park === true && message.session !== undefined)
          this.sessions?.park(message.session, message);
        return this.#leaving.bury(message, settlement.failure);
      case "defer":
        // Until somebody resumes it: it does not expire meanwhile.
        return this.aside.add(message, "deferred");
    }
  }

  giveBack(message: Message): void {
    this.stock.inFlight -= 1;
    if (this.dropped) return this.#leaving.leave(message, "dropped");
    this.#putBack(message);
    if (message.session !== undefined) this.sessions?.unlock(message.session);
  }

  /** The message's alarm: it has expired, or its delay is over. */
  onDue(message: Message): void {
    if (message.parcel.notAfter <= this.#kernel.now()) return this.#leaving.expire(message);
    this.stock.later.remove(message);
    this.#enqueue(message);
  }

  /** Puts a message that was set aside back, as new. */
  replay(message: Message): boolean {
    if (isKept(message)) return handBack(message);
    this.#comeBack(message, this.#another(message));
    return true;
  }

  /** In place of one that was set aside, under its old number, by which it can be followed. */
  #another(message: Message): Message {
    this.#leaving.takeOut(message);
    const again = new Message(message.seq, timeless(message.parcel), this);
    again.failure = message.failure;
    return again;
  }

  /** Puts a deferred message back to its place, as the attempt that deferred it. */
  resume(message: Message): void {
    const again = this.#another(message);
    again.attempt = message.attempt - 1;
    this.#kernel.charge(again.parcel.bytes);
    if (message.session === undefined) {
      again.order = message.order;
      return this.#putBack(again);
    }
    this.sessions?.restore(message, again);
    this.#watchExpiry(again);
  }

  /** Puts another in the place of one that was set aside. */
  replace(message: Message, parcel: Parcel): boolean {
    if (isKept(message)) return handBack(message, parcel);
    this.discard(message, "replaced");
    this.stock.book.count(parcel.envelope.header.type, "accepted");
    this.#comeBack(message, new Message(this.#kernel.nextSequence(), parcel, this));
    return true;
  }

  #comeBack(message: Message, again: Message): void {
    this.#kernel.charge(again.parcel.bytes);
    if (message.session === undefined) return this.#enqueue(again);
    this.sessions?.restore(message, again);
    this.#watchExpiry(again);
  }

  /** Deletes a message that nobody holds. */
  discard(message: Message, by: LeftBy): void {
    this.#leaving.discard(message, by);
  }

  /** Ends this mailbox with everything in it. Its book goes on in that of all that have ended. */
  drop(): void {
    this.dropped = true;
    this.#kernel.removed.absorb(this.stock.book);
    this.stock.book = this.#kernel.removed;
    this.receivers.close();
    this.remembered.clear();
    for (const state of ["ready", "scheduled", "deferred", "dead"] as const) {
      for (const message of Array.from(this.messages(state))) {
        if (state === "scheduled") this.stock.later.remove(message);
        this.#leaving.leave(message, "dropped");
      }
    }
    this.sessions?.drop();
  }

  messages(state: MessageState): Iterable<Message> {
    return this.stock.messages(state);
  }

  state(): AddressState {
    return this.stock.state(this);
  }

  ledger(): LedgerEntry {
    return this.stock.ledger(this);
  }

  /** One came that is not stored, because it is remembered. */
  duplicate(type: string): void {
    this.stock.book.count(type, "duplicates");
  }

  #enqueue(message: Message): void {
    const key = message.parcel.envelope.header.partitionkey;
    // Found anew each time: while a message was scheduled its session may have ended.
    const session = key === undefined ? undefined : this.sessions?.of(key);
    message.session = session;
    (session?.line ?? this.stock.line).push(message);
    this.#watchExpiry(message);
    if (session === undefined) this.receivers.wake();
    else this.sessions?.offer(session);
  }

  /** To its old place. A session is offered again when nothing of it is held any more. */
  #putBack(message: Message): void {
    (message.session?.line ?? this.stock.line).putBack(message);
    this.#watchExpiry(message);
    if (message.session === undefined) this.receivers.wake();
  }

  #holdBack(message: Message, delayMs: number): void {
    if (message.session !== undefined) this.sessions?.holdBack(message.session, message, delayMs);
    else if (delayMs > 0) return this.stock.later.add(message, this.#kernel.now() + delayMs);
    this.#putBack(message);
  }

  #watchExpiry(message: Message): void {
    if (message.parcel.notAfter < expiryLifted)
      this.#kernel.due.set(message, message.parcel.notAfter);
  }
}
