import { Deque } from "../handling/deque.ts";
import type { Message } from "./message.ts";

/**
 * What is ready, in order. A message that is removed from the middle (it expired) only changes its state and is
 * skipped when its turn comes, so that nothing is ever searched for.
 */
export class Line {
  readonly #waiting = new Deque<Message>();
  /** Given back or brought back to their old places, by the order of these. The next one stands last, where it is popped. */
  #returned: Message[] = [];
  #length = 0;
  #removed = 0;
  readonly #nextOrder: () => number;

  /** Orders need to rise only. */
  constructor(nextOrder: () => number) {
    this.#nextOrder = nextOrder;
  }

  get length(): number {
    return this.#length;
  }

  push(message: Message): void {
    message.state = "ready";
    message.order = this.#nextOrder();
    this.#length += 1;
    this.#waiting.push(message);
  }

  /** Puts a message back to its old place. */
  putBack(message: Message): void {
    message.state = "ready";
    this.#length += 1;
    let place = 0;
    for (let end = this.#returned.length; place < end;) {
      const middle = (place + end) >> 1;
      if ((this.#returned[middle] as Message).order > message.order) place = middle + 1;
      else end = middle;
    }
    this.#returned.splice(place, 0, message);
  }

  peek(): Message | undefined {
    const first = this.#firstWaiting();
    if (this.#returned.length === 0) return first;
    const last = this.#lastReturned();
    return last === undefined || (first !== undefined && first.order < last.order) ? first : last;
  }

  /** Takes what `peek` shows. */
  shift(): void {
    this.#length -= 1;
    const last = this.#returned.at(-1);
    const first = last && this.#waiting.at(0);
    if (last === undefined || (first !== undefined && first.order < last.order))
      this.#waiting.shift();
    else this.#returned.pop();
  }

  #firstWaiting(): Message | undefined {
    for (let first = this.#waiting.at(0); first !== undefined; first = this.#waiting.at(0)) {
      if (first.state === "ready") return first;
      this.#waiting.shift();
      this.#removed -= 1;
    }
    return undefined;
  }

  #lastReturned(): Message | undefined {
    for (let last = this.#returned.at(-1); last !== undefined; last = this.#returned.at(-1)) {
      if (last.state === "ready") return last;
      this.#returned.pop();
      this.#removed -= 1;
    }
    return undefined;
  }

  /** Takes a message out, wherever it stands. The caller gives it another state at once. */
  remove(message: Message): void {
    message.state = "gone";
    this.#length -= 1;
    this.#removed += 1;
    if (this.#removed < removedMin || this.#removed * 2 < this.#waiting.length) return;
    this.#waiting.retain(isReady);
    this.#returned = this.#returned.filter(isReady);
    this.#removed = 0;
  }

  *[Symbol.iterator](): Generator<Message, void, void> {
    const returned = this.#returned.filter(isReady);
    for (const message of this.#waiting) {
      if (!isReady(message)) continue;
      for (let last = returned.at(-1); last !== undefined; last = returned.at(-1)) {
        if (last.order > message.order) break;
        yield last;
        returned.pop();
      }
      yield message;
    }
    yield* returned.toReversed();
  }
}

const removedMin = 1_024;

function isReady(message: Message): boolean {
  return message.state === "ready";
}
