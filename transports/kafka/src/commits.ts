import type { Seat } from "./seat.ts";
import type { Window } from "./window.ts";

export interface CommitsParts {
  readonly seat: Seat;
  readonly windows: () => Iterable<Window>;
}

/** What is finished while one commit is under way goes with the next: one request for many. */
export class Commits {
  readonly #parts: CommitsParts;
  #current: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(parts: CommitsParts) {
    this.#parts = parts;
  }

  /** Resolves when everything that was done until now is kept, or lost. */
  flush(): Promise<void> {
    this.#next ??= (this.#current ?? Promise.resolve())
      .catch(() => undefined)
      .then(() => {
        this.#current = this.#next;
        this.#next = undefined;
        return this.#keep();
      });
    return this.#next;
  }

  async #keep(): Promise<void> {
    const dirty = [...this.#parts.windows()].filter((window) => window.dirty);
    if (dirty.length > 0) await this.#parts.seat.keep(dirty);
  }
}
