/** A queue in a ring: both ends and any position in constant time, however long it is. */
export class Deque<Item> {
  #slots: (Item | undefined)[] = new Array<Item | undefined>(slotsMin);
  #head = 0;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  push(item: Item): void {
    if (this.#length === this.#slots.length) this.#resize(this.#slots.length * 2);
    this.#slots[(this.#head + this.#length) & (this.#slots.length - 1)] = item;
    this.#length += 1;
  }

  /** The item `index` places behind the head; undefined beyond the end. */
  at(index: number): Item | undefined {
    if (index < 0 || index >= this.#length) return undefined;
    return this.#slots[(this.#head + index) & (this.#slots.length - 1)];
  }

  shift(): Item | undefined {
    if (this.#length === 0) return undefined;
    const item = this.#slots[this.#head];
    this.#slots[this.#head] = undefined;
    this.#head = (this.#head + 1) & (this.#slots.length - 1);
    this.#length -= 1;
    // A backlog that was worked off must not keep its ring for ever.
    if (this.#length === 0 && this.#slots.length > slotsKept) this.#resize(slotsMin);
    return item;
  }

  *[Symbol.iterator](): Generator<Item, void, void> {
    for (let index = 0; index < this.#length; index++) yield this.at(index) as Item;
  }

  /** Keeps the items that pass, in their order. */
  retain(passes: (item: Item) => boolean): void {
    const kept = [...this].filter(passes);
    this.#slots = new Array<Item | undefined>(slotsMin);
    this.#head = 0;
    this.#length = 0;
    for (const item of kept) this.push(item);
  }

  #resize(size: number): void {
    const slots = new Array<Item | undefined>(size);
    for (let index = 0; index < this.#length; index++) slots[index] = this.at(index);
    this.#slots = slots;
    this.#head = 0;
  }
}

// Powers of two: the ring wraps with a mask.
const slotsMin = 16;
const slotsKept = 4_096;
