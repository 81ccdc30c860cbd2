export interface Limits {
  readonly prefetch: number;
  readonly prefetchBytes: number;
}

/** What one receiver may hold, over all its partitions. */
export class Budget {
  readonly #limits: Limits;
  #count = 0;
  #bytes = 0;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** One message is always let through, however large. */
  fits(bytes: number): boolean {
    const { prefetch, prefetchBytes } = this.#limits;
    if (this.#count === 0) return true;
    return this.#count < prefetch && this.#bytes + bytes <= prefetchBytes;
  }

  take(bytes: number): void {
    this.#count += 1;
    this.#bytes += bytes;
  }

  give(bytes: number): void {
    this.#count -= 1;
    this.#bytes -= bytes;
  }
}
