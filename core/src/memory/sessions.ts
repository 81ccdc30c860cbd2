import type { Body } from "../envelope.ts";
import type { Alarm } from "./alarms.ts";
import { Deque } from "../handling/deque.ts";
import type { Kernel } from "./kernel.ts";
import { Line } from "./line.ts";
import type { Message } from "./message.ts";
import type { MemoryReceiver } from "./receiver.ts";

/** One key's messages of one mailbox, and who has them. */
export class MailSession implements Alarm {
  readonly name: string;
  readonly line: Line;
  /** Who holds messages of it, and so all of it. */
  holder: MemoryReceiver | undefined = undefined;
  /** Messages delivered and not settled. */
  held = 0;
  /** The dead letters that the rest waits for; undefined when there is none. */
  parkedBy: Set<Message> | undefined = undefined;
  /** A retry at its head is not due before; milliseconds since 1970. */
  restsUntil = 0;
  /** Stands in the line of available sessions. */
  queued = false;
  state: Body | undefined = undefined;
  at = 0;
  slot = -1;
  readonly seq: number;
  readonly #sessions: Sessions;

  constructor(name: string, sessions: Sessions, nextOrder: () => number) {
    this.name = name;
    this.seq = nextOrder();
    this.line = new Line(nextOrder);
    this.#sessions = sessions;
  }

  ring(): void {
    this.#sessions.offer(this);
  }
}

/** The sessions of one mailbox. Finding the next available one looks at nothing that waits. */
export class Sessions {
  readonly #kernel: Kernel;
  readonly #wake: () => void;
  readonly #byName = new Map<string, MailSession>();
  #available = new Deque<MailSession>();

  constructor(kernel: Kernel, wake: () => void) {
    this.#kernel = kernel;
    this.#wake = wake;
  }

  /** Made when it is first named, gone when it is empty and keeps nothing. */
  of(name: string): MailSession {
    let session = this.#byName.get(name);
    if (session === undefined) {
      session = new MailSession(name, this, () => this.#kernel.nextSequence());
      this.#byName.set(name, session);
    }
    return session;
  }

  /** Whether there is one of that name. */
  has(name: string): boolean {
    return this.#byName.has(name);
  }

  /** Sessions that may be taken; some may turn out to be empty. */
  get available(): number {
    return this.#available.length;
  }

  /** The session that may be taken next. */
  next(): MailSession | undefined {
    for (let session = this.#available.at(0); session !== undefined;) {
      if (session.line.peek() !== undefined) return session;
      // What it had has expired.
      this.#available.shift();
      session.queued = false;
      this.#tidy(session);
      session = this.#available.at(0);
    }
    return undefined;
  }

  nextFor({ sessionsHeld, sessionsMax }: MemoryReceiver): MailSession | undefined {
    return sessionsHeld < sessionsMax ? this.next() : undefined;
  }

  /** Puts a message in the place of another one. */
  restore(message: Message, again: Message): void {
    const session = this.of(message.session?.name ?? "");
    again.order = message.order;
    again.session = session;
    session.line.putBack(again);
    this.offer(session);
  }

  /** Gives what `next` shows to a receiver. */
  lock(session: MailSession, receiver: MemoryReceiver): void {
    this.#available.shift();
    session.queued = false;
    session.holder = receiver;
    receiver.sessionsHeld += 1;
  }

  /** One of its messages is not held any more. After the last the session goes behind the others that wait. */
  unlock(session: MailSession): void {
    session.held -= 1;
    if (session.held > 0) return;
    if (session.holder !== undefined) session.holder.sessionsHeld -= 1;
    session.holder = undefined;
    this.offer(session);
  }

  /** Lets the session be taken, as soon as it may. */
  offer(session: MailSession): void {
    if (session.queued || session.held > 0 || session.parkedBy !== undefined) return;
    if (session.line.length === 0) return this.#tidy(session);
    if (session.restsUntil > this.#kernel.now())
      return this.#kernel.due.set(session, session.restsUntil);
    session.restsUntil = 0;
    session.queued = true;
    this.#available.push(session);
    this.#wake();
  }

  /** A message of it was settled so that nothing behind it may be handled before it: that goes back, too. */
  holdBack(session: MailSession, message: Message, delayMs: number): void {
    if (delayMs > 0)
      session.restsUntil = Math.max(session.restsUntil, this.#kernel.now() + delayMs);
    session.holder?.returnBehind(message);
  }

  /** The session waits until its dead letter is replayed or discarded, and others for which it waits already. */
  park(session: MailSession, message: Message): void {
    session.parkedBy ??= new Set();
    session.parkedBy.add(message);
    session.holder?.returnBehind(message);
  }

  /** A dead letter was replayed or discarded: the session that waited for it goes on, unless it waits for another one. */
  unpark(message: Message): void {
    const { session } = message;
    if (session?.parkedBy?.delete(message) !== true || session.parkedBy.size > 0) return;
    session.parkedBy = undefined;
    this.offer(session);
  }

  /** Throws STORAGE_FULL. */
  keep(session: MailSession, state: Body | undefined): void {
    const freed = session.state === undefined ? 0 : Buffer.byteLength(session.state);
    const bytes = state === undefined ? 0 : Buffer.byteLength(state);
    if (bytes > freed && !this.#kernel.fits(bytes - freed, 1)) throw this.#kernel.fullError();
    if (session.state !== undefined) this.#kernel.free(freed);
    if (state !== undefined) this.#kernel.charge(bytes);
    session.state = typeof state === "object" ? new Uint8Array(state) : state;
  }

  /** Messages that wait, parked and resting ones included. */
  get length(): number {
    let length = 0;
    for (const { line } of this.#byName.values()) length += line.length;
    return length;
  }

  oldest(): Message | undefined {
    let oldest: Message | undefined;
    for (const { line } of this.#byName.values()) {
      const head = line.peek();
      if (head !== undefined && (oldest === undefined || head.seq < oldest.seq)) oldest = head;
    }
    return oldest;
  }

  *messages(): Generator<Message, void, void> {
    for (const { line } of this.#byName.values()) yield* line;
  }

  drop(): void {
    for (const session of this.#byName.values()) {
      this.#kernel.due.cancel(session);
      this.keep(session, undefined);
    }
    this.#byName.clear();
    this.#available = new Deque();
  }

  #tidy(session: MailSession): void {
    const { line, held, parkedBy, state, restsUntil } = session;
    if (line.length > 0 || held > 0 || parkedBy !== undefined || state !== undefined) return;
    if (restsUntil > 0) this.#kernel.due.cancel(session);
    if (this.#byName.get(session.name) === session) this.#byName.delete(session.name);
  }
}
