import type { AddressState, Failure, MessageState, Settlement } from "../ports/transport.ts";
import { Aside, brokerFailure } from "./aside.ts";
import type { Kernel } from "./kernel.ts";
import { Line } from "./line.ts";
import { Message, type MessageHome, type Parcel, inTime } from "./message.ts";
import type { MemoryReceiver, Supply } from "./receiver.ts";
import { Remembered } from "./remembered.ts";
import { Receivers } from "./receivers.ts";

/** A queue, or a subscription's own queue: competing receivers, each message to one of them at a time. */
export class Mailbox implements Supply, MessageHome {
  readonly address: string;
  readonly kind: "queue" | "subscription";
  /** Itself as the only place of a message for it. */
  readonly alone: readonly [Mailbox] = [this];
  readonly aside: Aside = new Aside();
  readonly remembered: Remembered;
  readonly #kernel: Kernel;
  readonly #line = new Line();
  readonly #receivers = new Receivers();
  #scheduled = 0;
  #inFlight = 0;
  #dropped = false;

  constructor(kind: "queue" | "subscription", address: string, kernel: Kernel) {
    this.kind = kind;
    this.address = address;
    this.#kernel = kernel;
    this.remembered = new Remembered(kernel);
  }

  put(parcel: Parcel): void {
    const message = new Message(this.#kernel.nextSequence(), parcel, this);
    this.#kernel.charge(parcel.bytes);
    if (parcel.notBefore > parcel.enqueuedAt) this.#schedule(message, parcel.notBefore);
    else this.#enqueue(message);
  }

  attach(receiver: MemoryReceiver): void {
    this.#receivers.attach(receiver);
    if (this.#line.length > 0) receiver.wake();
  }

  detach(receiver: MemoryReceiver): void {
    this.#receivers.detach(receiver);
    if (this.#line.length > 0) this.#receivers.wake();
  }

  hasWorkFor(receiver: MemoryReceiver): boolean {
    const next = this.#line.peek();
    return next !== undefined && receiver.fits(next.parcel.bytes);
  }

  serve(receiver: MemoryReceiver): void {
    const now = this.#kernel.now();
    const monotonic = this.#kernel.monotonic();
    // Competing receivers share what waits instead of the first one taking all.
    let share = Math.ceil(this.#line.length / this.#receivers.openCount());
    for (let next = this.#line.peek(); next !== undefined && share > 0; next = this.#line.peek()) {
      if (next.parcel.notAfter <= now) {
        this.#expire(next);
        continue;
      }
      if (!receiver.fits(next.parcel.bytes)) return;
      this.#line.shift();
      if (next.slot >= 0) this.#kernel.due.cancel(next);
      next.attempt += 1;
      next.state = "inFlight";
      this.#inFlight += 1;
      share -= 1;
      receiver.take(next, monotonic);
    }
  }

  check(): void {
    // A queue can do all of them.
  }

  settle(message: Message, settlement: Settlement): void {
    this.#inFlight -= 1;
    switch (settlement.kind) {
      case "complete":
        return this.#forget(message);
      case "retry":
        message.failure = settlement.failure;
        if (settlement.delayMs > 0)
          return this.#schedule(message, this.#kernel.now() + settlement.delayMs);
        return this.#enqueue(message);
      case "release":
        message.attempt -= 1;
        return this.#putBack(message);
      case "deadLetter":
        return this.#bury(message, settlement.failure);
      case "defer":
        // Until somebody resumes it: it does not expire meanwhile.
        return this.aside.add(message, "deferred");
    }
  }

  giveBack(message: Message): void {
    this.#inFlight -= 1;
    if (this.#dropped) this.#forget(message);
    else this.#putBack(message);
  }

  /** The message's alarm: it has expired, or its delay is over. */
  onDue(message: Message): void {
    if (message.parcel.notAfter <= this.#kernel.now()) return this.#expire(message);
    this.#scheduled -= 1;
    this.#enqueue(message);
  }

  /** Puts a message that was set aside back, as new. */
  replay(message: Message): void {
    this.discard(message);
    const parcel = inTime(message.parcel, this.#kernel.now());
    // Under its old number, by which it can be followed.
    const again = new Message(message.seq, parcel, this);
    this.#kernel.charge(parcel.bytes);
    again.failure = message.failure;
    this.#enqueue(again);
  }

  /** Puts another in the place of one that was set aside. */
  replace(message: Message, parcel: Parcel): void {
    this.discard(message);
    this.put(parcel);
  }

  /** Deletes a message that nobody holds. */
  discard(message: Message): void {
    this.#kernel.due.cancel(message);
    if (message.state === "ready") this.#line.remove(message);
    else if (message.state === "scheduled") this.#scheduled -= 1;
    else this.aside.remove(message);
    message.state = "gone";
    this.#kernel.free(message.parcel.bytes);
  }

  /** Ends this mailbox with everything in it. */
  drop(): void {
    this.#dropped = true;
    this.#receivers.close();
    this.remembered.clear();
    for (const state of ["ready", "scheduled", "deferred", "dead"] as const) {
      for (const message of Array.from(this.messages(state))) this.#forget(message);
    }
  }

  *messages(state: MessageState): Generator<Message, void, void> {
    if (state === "ready") return yield* this.#line;
    if (state === "inFlight") return yield* this.#receivers.held();
    if (state === "scheduled") {
      for (const alarm of this.#kernel.due.pending()) {
        if (alarm instanceof Message && alarm.home === this && alarm.state === "scheduled")
          yield alarm;
      }
      return;
    }
    for (const message of this.aside) if (message.state === state) yield message;
  }

  state(): AddressState {
    const oldest = this.#line.peek();
    return {
      address: this.address,
      kind: this.kind,
      ready: this.#line.length,
      inFlight: this.#inFlight,
      scheduled: this.#scheduled,
      deferred: this.aside.deferred,
      dead: this.aside.dead,
      oldestReadyMs:
        oldest === undefined ? 0 : Math.max(0, this.#kernel.now() - oldest.parcel.enqueuedAt),
      receivers: this.#receivers.count,
    };
  }

  #enqueue(message: Message): void {
    this.#line.push(message);
    this.#watchExpiry(message);
    this.#receivers.wake();
  }

  #putBack(message: Message): void {
    this.#line.putBack(message);
    this.#watchExpiry(message);
    this.#receivers.wake();
  }

  #schedule(message: Message, at: number): void {
    message.state = "scheduled";
    this.#scheduled += 1;
    this.#kernel.due.set(message, Math.min(at, message.parcel.notAfter));
  }

  #watchExpiry(message: Message): void {
    if (message.parcel.notAfter !== Infinity)
      this.#kernel.due.set(message, message.parcel.notAfter);
  }

  #expire(message: Message): void {
    if (message.state === "ready") this.#line.remove(message);
    else if (message.state === "scheduled") this.#scheduled -= 1;
    else this.aside.remove(message);
    const { attempt, parcel, failure } = message;
    if (parcel.discardExpired) return this.#forget(message);
    const now = this.#kernel.now();
    const words = `It was of use until ${new Date(parcel.notAfter).toISOString()} and was not handled by then.`;
    this.#bury(
      message,
      brokerFailure("EXPIRED", words, {
        now,
        attempts: attempt,
        firstFailedAt: failure?.firstFailedAt,
      }),
    );
  }

  #bury(message: Message, failure: Failure): void {
    this.#kernel.due.cancel(message);
    message.failure = failure;
    this.aside.add(message, "dead");
  }

  #forget(message: Message): void {
    this.#kernel.due.cancel(message);
    message.state = "gone";
    this.#kernel.free(message.parcel.bytes);
  }
}
