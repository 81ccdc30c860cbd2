/** An async queue between a producer that cannot wait and one consumer that can. Whoever fills it keeps its bound. */
export class ItemQueue<Item> implements AsyncIterable<Item> {
  readonly #items: Item[] = [];
  #ended = false;
  #failed: { readonly error: unknown } | undefined;
  #wake: (() => void) | undefined;

  get size(): number {
    return this.#items.length;
  }

  push(item: Item): void {
    if (this.#ended) return;
    this.#items.push(item);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** Items that are already here are still read before the error is thrown. */
  fail(error: unknown): void {
    if (this.#ended) return;
    this.#failed = { error };
    this.end();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Item> {
    for (;;) {
      if (this.#items.length > 0) yield this.#items.shift() as Item;
      else if (this.#failed !== undefined) throw this.#failed.error as Error;
      else if (this.#ended) return;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
