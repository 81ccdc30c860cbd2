import type { Pause } from "../ports/transport.ts";
import type { Message } from "./message.ts";
import type { MemoryReceiver } from "./receiver.ts";

/** The receivers of one queue. One that has stopped is remembered as long as it holds something. */
export class Receivers {
  #active: MemoryReceiver[] = [];
  readonly #holding = new Set<MemoryReceiver>();
  #turn = 0;
  /** None of them is open meanwhile. */
  paused: Pause | undefined = undefined;
  /** Where their address forwards; then they get nothing, and this is called instead of them. */
  onward: (() => void) | undefined = undefined;

  /** Whether they get nothing now. */
  get halted(): boolean {
    return this.paused !== undefined || this.onward !== undefined;
  }

  get count(): number {
    return this.#active.length;
  }

  openCount(): number {
    let open = 0;
    for (const receiver of this.#active) if (receiver.open) open += 1;
    return Math.max(open, 1);
  }

  attach(receiver: MemoryReceiver): void {
    if (!this.#active.includes(receiver)) this.#active.push(receiver);
    this.#holding.add(receiver);
  }

  detach(receiver: MemoryReceiver): void {
    this.#active = this.#active.filter((other) => other !== receiver);
    for (const other of this.#holding) {
      if (!this.#active.includes(other) && other.held().length === 0) this.#holding.delete(other);
    }
  }

  /** Asks each for a turn, another one first every time. */
  wake(): void {
    if (this.onward !== undefined) return this.paused === undefined ? this.onward() : undefined;
    const { length } = this.#active;
    if (length === 1) return this.#active[0]?.wake();
    this.#turn += 1;
    for (let index = 0; index < length; index++)
      this.#active[(this.#turn + index) % length]?.wake();
  }

  /** Again: with another reason, since the same moment. */
  pause(reason: string, now: number): void {
    this.paused = { since: this.paused?.since ?? now, reason };
  }

  /** False when they were not paused. */
  resume(): boolean {
    if (this.paused === undefined) return false;
    this.paused = undefined;
    this.wake();
    return true;
  }

  *held(): Generator<Message, void, void> {
    for (const receiver of this.#holding) yield* receiver.held();
  }

  /** Takes away what passes, wherever it is held. */
  fence(passes: (message: Message) => boolean): void {
    for (const receiver of this.#holding) receiver.fence(passes);
  }

  close(): void {
    for (const receiver of this.#holding) receiver.close();
  }
}
