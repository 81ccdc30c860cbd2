import type { AddressState, Failure, MessageState, Settlement } from "../ports/transport.ts";
import { Aside, brokerFailure } from "./aside.ts";
import type { Kernel } from "./kernel.ts";
import { Later } from "./later.ts";
import { Line } from "./line.ts";
import { Message, type MessageHome, type Parcel, inTime } from "./message.ts";
import type { MemoryReceiver, Supply } from "./receiver.ts";
import { Remembered } from "./remembered.ts";
import { Receivers } from "./receivers.ts";
import { Sessions } from "./sessions.ts";

/** A queue, or a subscription's own queue: competing receivers, each message to one of them at a time. */
export class Mailbox implements Supply, MessageHome {
  readonly address: string;
  readonly kind: "queue" | "subscription";
  /** Itself as the only place of a message for it. */
  readonly alone: readonly [Mailbox] = [this];
  readonly aside: Aside = new Aside();
  readonly receivers: Receivers = new Receivers();
  readonly remembered: Remembered;
  sessions: Sessions | undefined = undefined;
  readonly #kernel: Kernel;
  readonly #line: Line;
  readonly #later: Later;
  /** Sessions and what stands beside them take turns in being first. */
  #sessionsFirst = false;
  #inFlight = 0;
  #dropped = false;

  constructor(kind: "queue" | "subscription", address: string, kernel: Kernel) {
    this.kind = kind;
    this.address = address;
    this.#kernel = kernel;
    this.remembered = new Remembered(kernel);
    this.#line = new Line(() => kernel.nextSequence());
    this.#later = new Later(kernel);
  }

  /** From now on messages with a key are kept in sessions. */
  keepSessions(): void {
    this.sessions ??= new Sessions(this.#kernel, () => this.receivers.wake());
  }

  put(parcel: Parcel): void {
    const message = new Message(this.#kernel.nextSequence(), parcel, this);
    this.#kernel.charge(parcel.bytes);
    if (parcel.notBefore > parcel.enqueuedAt) this.#later.add(message, parcel.notBefore);
    else this.#enqueue(message);
  }

  attach(receiver: MemoryReceiver): void {
    this.receivers.attach(receiver);
    if (this.#waits()) receiver.wake();
  }

  detach(receiver: MemoryReceiver): void {
    this.receivers.detach(receiver);
    if (this.#waits()) this.receivers.wake();
  }

  hasWorkFor(receiver: MemoryReceiver): boolean {
    const next = this.#line.peek();
    if (next !== undefined && receiver.fits(next.parcel.bytes)) return true;
    const head = this.sessions?.nextFor(receiver)?.line.peek();
    return head !== undefined && receiver.fits(head.parcel.bytes);
  }

  serve(receiver: MemoryReceiver): void {
    if (this.sessions !== undefined) {
      this.#sessionsFirst = !this.#sessionsFirst;
      if (this.#sessionsFirst) this.#serveSessions(receiver);
    }
    // Competing receivers share what waits instead of the first one taking all.
    const share = Math.ceil(this.#line.length / this.receivers.openCount());
    this.#serveLine(receiver, this.#line, share);
    if (!this.#sessionsFirst) this.#serveSessions(receiver);
  }

  #serveSessions(receiver: MemoryReceiver): void {
    const available = this.sessions?.available ?? 0;
    let share = Math.ceil(available / this.receivers.openCount());
    for (; share > 0; share--) {
      const session = this.sessions?.nextFor(receiver);
      const head = session?.line.peek();
      if (session === undefined || head === undefined || !receiver.fits(head.parcel.bytes)) return;
      this.sessions?.lock(session, receiver);
      session.held = 1;
      session.held += this.#serveLine(receiver, session.line, receiver.perSession);
      this.sessions?.unlock(session);
    }
  }

  /** Answers how many it took. */
  #serveLine(receiver: MemoryReceiver, line: Line, share: number): number {
    const now = this.#kernel.now();
    const monotonic = this.#kernel.monotonic();
    let taken = 0;
    for (let next = line.peek(); next !== undefined && taken < share; next = line.peek()) {
      if (next.parcel.notAfter <= now) {
        this.#expire(next);
        continue;
      }
      if (!receiver.fits(next.parcel.bytes)) return taken;
      line.shift();
      if (next.slot >= 0) this.#kernel.due.cancel(next);
      next.attempt += 1;
      next.state = "inFlight";
      this.#inFlight += 1;
      taken += 1;
      receiver.take(next, monotonic);
    }
    return taken;
  }

  check(): void {
    // A queue can do all of them.
  }

  settle(message: Message, settlement: Settlement): void {
    this.#inFlight -= 1;
    this.#end(message, settlement);
    if (message.session !== undefined) this.sessions?.unlock(message.session);
  }

  #end(message: Message, settlement: Settlement): void {
    switch (settlement.kind) {
      case "complete":
        return this.#forget(message);
      case "retry":
        message.failure = settlement.failure;
        if (message.session !== undefined) return this.#holdBack(message, settlement.delayMs);
        if (settlement.delayMs > 0)
          return this.#later.add(message, this.#kernel.now() + settlement.delayMs);
        return this.#enqueue(message);
      case "release":
        message.attempt -= 1;
        return this.#holdBack(message, 0);
      case "deadLetter":
        if (settlement.park === true && message.session !== undefined)
          this.sessions?.park(message.session, message);
        return this.#bury(message, settlement.failure);
      case "defer":
        // Until somebody resumes it: it does not expire meanwhile.
        return this.aside.add(message, "deferred");
    }
  }

  giveBack(message: Message): void {
    this.#inFlight -= 1;
    if (this.#dropped) return this.#forget(message);
    this.#putBack(message);
    if (message.session !== undefined) this.sessions?.unlock(message.session);
  }

  /** The message's alarm: it has expired, or its delay is over. */
  onDue(message: Message): void {
    if (message.parcel.notAfter <= this.#kernel.now()) return this.#expire(message);
    this.#later.remove(message);
    this.#enqueue(message);
  }

  /** Puts a message that was set aside back, as new. */
  replay(message: Message): void {
    this.discard(message);
    const parcel = inTime(message.parcel, this.#kernel.now());
    // Under its old number, by which it can be followed.
    const again = new Message(message.seq, parcel, this);
    again.failure = message.failure;
    this.#comeBack(message, again);
  }

  /** Puts another in the place of one that was set aside. */
  replace(message: Message, parcel: Parcel): void {
    this.discard(message);
    this.#comeBack(message, new Message(this.#kernel.nextSequence(), parcel, this));
  }

  #comeBack(message: Message, again: Message): void {
    this.#kernel.charge(again.parcel.bytes);
    if (message.session === undefined) return this.#enqueue(again);
    this.sessions?.restore(message, again);
    this.#watchExpiry(again);
  }

  /** Deletes a message that nobody holds. */
  discard(message: Message): void {
    this.#kernel.due.cancel(message);
    if (message.state === "ready") (message.session?.line ?? this.#line).remove(message);
    else if (message.state === "scheduled") this.#later.remove(message);
    else this.aside.remove(message);
    message.state = "gone";
    this.#kernel.free(message.parcel.bytes);
    this.sessions?.unpark(message);
  }

  /** Ends this mailbox with everything in it. */
  drop(): void {
    this.#dropped = true;
    this.receivers.close();
    this.remembered.clear();
    for (const state of ["ready", "scheduled", "deferred", "dead"] as const) {
      for (const message of Array.from(this.messages(state))) {
        if (state === "scheduled") this.#later.remove(message);
        this.#forget(message);
      }
    }
    this.sessions?.drop();
  }

  *messages(state: MessageState): Generator<Message, void, void> {
    if (state === "ready") {
      yield* this.#line;
      return yield* this.sessions?.messages() ?? [];
    }
    if (state === "inFlight") return yield* this.receivers.held();
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
    const now = this.#kernel.now();
    const heads = [this.#line.peek(), this.sessions?.oldest()];
    const ages = heads.map((head) => now - (head?.parcel.enqueuedAt ?? now));
    return {
      address: this.address,
      kind: this.kind,
      ready: this.#line.length + (this.sessions?.length ?? 0),
      inFlight: this.#inFlight,
      scheduled: this.#later.count,
      deferred: this.aside.deferred,
      dead: this.aside.dead,
      oldestReadyMs: Math.max(0, ...ages),
      receivers: this.receivers.count,
      paused: this.receivers.paused,
    };
  }

  #waits(): boolean {
    return this.#line.length > 0 || this.sessions?.next() !== undefined;
  }

  #enqueue(message: Message): void {
    const key = message.parcel.envelope.header.partitionkey;
    // Found anew each time: while a message was scheduled its session may have ended.
    const session = key === undefined ? undefined : this.sessions?.of(key);
    message.session = session;
    (session?.line ?? this.#line).push(message);
    this.#watchExpiry(message);
    if (session === undefined) this.receivers.wake();
    else this.sessions?.offer(session);
  }

  /** To its old place. A session is offered again when nothing of it is held any more. */
  #putBack(message: Message): void {
    (message.session?.line ?? this.#line).putBack(message);
    this.#watchExpiry(message);
    if (message.session === undefined) this.receivers.wake();
  }

  #holdBack(message: Message, delayMs: number): void {
    if (message.session !== undefined) this.sessions?.holdBack(message.session, message, delayMs);
    this.#putBack(message);
  }

  #watchExpiry(message: Message): void {
    if (message.parcel.notAfter !== Infinity)
      this.#kernel.due.set(message, message.parcel.notAfter);
  }

  #expire(message: Message): void {
    if (message.state === "ready") (message.session?.line ?? this.#line).remove(message);
    else if (message.state === "scheduled") this.#later.remove(message);
    else this.aside.remove(message);
    const { attempt: attempts, parcel, failure } = message;
    if (parcel.discardExpired) return this.#forget(message);
    const now = this.#kernel.now();
    const words = `It was of use until ${new Date(parcel.notAfter).toISOString()} and was not handled by then.`;
    const firstFailedAt = failure?.firstFailedAt;
    this.#bury(message, brokerFailure("EXPIRED", words, { now, attempts, firstFailedAt }));
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
