/** Takes the place that became free, or is told that it waited in vain. */
export interface Waiter {
  enter(): void;
}

/**
 * How many calls of one owner run at the same time, whichever way they came. First come, first served. Taking a free place costs
 * nothing but a number.
 */
export class Places {
  readonly #most: number;
  /** In the order of their coming: a set, so that leaving costs the same wherever one stands. */
  readonly #waiters = new Set<Waiter>();
  #taken = 0;

  constructor(most: number) {
    this.#most = most;
  }

  get taken(): number {
    return this.#taken;
  }

  get waiting(): number {
    return this.#waiters.size;
  }

  /** Whether there was a free place; it is taken then. */
  take(): boolean {
    if (this.#taken >= this.#most) return false;
    this.#taken += 1;
    return true;
  }

  /** Stands in line for the next free place. */
  wait(waiter: Waiter): void {
    this.#waiters.add(waiter);
  }

  /** Leaves the line. */
  giveUp(waiter: Waiter): void {
    this.#waiters.delete(waiter);
  }

  /** Gives a place back: to whoever waits longest. */
  leave(): void {
    for (const waiter of this.#waiters) {
      this.#waiters.delete(waiter);
      return waiter.enter();
    }
    this.#taken -= 1;
  }
}
