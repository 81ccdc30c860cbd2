/** Ticks off the numbers of a round, so that a benchmark cannot win by losing or repeating messages. */
export class Checklist {
  #from = 0;
  #seen = new Uint8Array(0);
  #left = 0;
  #complete: (() => void) | undefined;
  duplicates = 0;

  /** Expects the next `count` numbers; resolves when every one was ticked. Only one round runs at a time. */
  expect(count: number): Promise<void> {
    this.#from += this.#seen.length;
    this.#seen = new Uint8Array(count);
    this.#left = count;
    this.duplicates = 0;
    return new Promise((resolve) => {
      this.#complete = resolve;
    });
  }

  tick(number: number): void {
    const index = number - this.#from;
    if (this.#seen[index] !== 0) {
      this.duplicates += 1;
      return;
    }
    this.#seen[index] = 1;
    this.#left -= 1;
    if (this.#left === 0) this.#complete?.();
  }
}
