import type { Header } from "../envelope.ts";

interface Waiter {
  readonly id: string;
  readonly wake: () => void;
}

/** Tells those who wait in this process that a view has taken a message. */
export class ViewBell {
  readonly #waiting = new Map<string, Set<Waiter>>();
  #count = 0;

  /** How many wait. */
  get count(): number {
    return this.#count;
  }

  /** After the COMMIT of a message. */
  ring(view: string, { id, causationid, conversationid }: Header): void {
    for (const waiter of this.#waiting.get(view) ?? [])
      if (waiter.id === id || waiter.id === causationid || waiter.id === conversationid)
        waiter.wake();
  }

  /** Wakes for a message, or one that it has caused, until the answer is called. */
  listen(view: string, id: string, wake: () => void): () => void {
    const waiter = { id, wake };
    const all = this.#waiting.get(view) ?? new Set();
    this.#waiting.set(view, all.add(waiter));
    this.#count += 1;
    return () => {
      if (!all.delete(waiter)) return;
      this.#count -= 1;
      if (all.size === 0 && this.#waiting.get(view) === all) this.#waiting.delete(view);
    };
  }
}
