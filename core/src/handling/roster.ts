/** Something that knows its place in a roster. */
export interface Listed {
  /** Its place; -1 while it stands in none. Only the roster writes it. */
  place: number;
}

/**
 * A set, in no order, of things that come and go with every message. A `Set` that is written to so often makes a new table every few
 * hundred messages, and a table it has left keeps everything that stood in it alive until the next full garbage collection.
 */
export class Roster<Item extends Listed> implements Iterable<Item> {
  readonly #items: Item[] = [];

  get size(): number {
    return this.#items.length;
  }

  has(item: Item): boolean {
    return this.#items[item.place] === item;
  }

  /** Nothing when it is there already. */
  add(item: Item): void {
    if (this.has(item)) return;
    item.place = this.#items.length;
    this.#items.push(item);
  }

  /** Answers whether it was there. */
  delete(item: Item): boolean {
    if (!this.has(item)) return false;
    const last = this.#items.pop() as Item;
    if (last !== item) {
      this.#items[item.place] = last;
      last.place = item.place;
    }
    item.place = -1;
    return true;
  }

  [Symbol.iterator](): Iterator<Item> {
    return this.#items.values();
  }
}
