/** Tells the feeds of this process that something they show has changed. */
export class Changes {
  readonly #waiting = new Map<string, Set<() => void>>();

  notify(key: string): void {
    for (const wake of this.#waiting.get(key) ?? []) wake();
  }

  /** Yields at once and after each change, until the signal is aborted. Changes while the reader is busy count as one. */
  async *of(key: string, signal: AbortSignal): AsyncIterable<void> {
    let changed = Promise.withResolvers<void>();
    const wake = (): void => changed.resolve();
    const waiting = this.#waiting.get(key) ?? new Set();
    this.#waiting.set(key, waiting.add(wake));
    signal.addEventListener("abort", wake);
    try {
      while (!signal.aborted) {
        yield;
        await changed.promise;
        changed = Promise.withResolvers();
      }
    } finally {
      signal.removeEventListener("abort", wake);
      waiting.delete(wake);
      if (waiting.size === 0) this.#waiting.delete(key);
    }
  }
}
