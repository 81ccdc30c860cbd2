import type { Kernel } from "./kernel.ts";
import type { Line } from "./line.ts";
import type { Message } from "./message.ts";
import type { MemoryReceiver } from "./receiver.ts";
import type { Stock } from "./stock.ts";

/** Hands what is ready at a mailbox to its receivers. */
export class Serving {
  readonly #kernel: Kernel;
  readonly #stock: Stock;
  readonly #expire: (message: Message) => void;
  /** Sessions and what stands beside them take turns in being first. */
  #sessionsFirst = false;

  /** `expire` takes a message out whose time is over. */
  constructor(kernel: Kernel, stock: Stock, expire: (message: Message) => void) {
    this.#kernel = kernel;
    this.#stock = stock;
    this.#expire = expire;
  }

  serve(receiver: MemoryReceiver): void {
    if (this.#stock.sessions !== undefined) {
      this.#sessionsFirst = !this.#sessionsFirst;
      if (this.#sessionsFirst) this.#serveSessions(receiver);
    }
    // Competing receivers share what waits instead of the first one taking all.
    const share = Math.ceil(this.#stock.line.length / this.#stock.receivers.openCount());
    this.#serveLine(receiver, this.#stock.line, share);
    if (!this.#sessionsFirst) this.#serveSessions(receiver);
  }

  #serveSessions(receiver: MemoryReceiver): void {
    const available = this.#stock.sessions?.available ?? 0;
    let share = Math.ceil(available / this.#stock.receivers.openCount());
    for (; share > 0; share--) {
      const session = this.#stock.sessions?.nextFor(receiver);
      const head = session?.line.peek();
      if (session === undefined || head === undefined || !receiver.fits(head.parcel.bytes)) return;
      this.#stock.sessions?.lock(session, receiver);
      session.held = 1;
      session.held += this.#serveLine(receiver, session.line, receiver.perSession);
      this.#stock.sessions?.unlock(session);
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
      this.#stock.inFlight += 1;
      taken += 1;
      receiver.take(next, monotonic);
    }
    return taken;
  }
}
