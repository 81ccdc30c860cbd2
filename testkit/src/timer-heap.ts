import type { Timer } from "@waybill/core";

export interface FakeTimer {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

/** Timers by moment, then by order of setting. A cancelled one leaves when its turn comes. */
export class TimerHeap {
  readonly #heap: FakeTimer[] = [];
  readonly #live = new Set<FakeTimer>();
  #order = 0;

  get size(): number {
    return this.#live.size;
  }

  add(callback: () => void, at: number): Timer {
    const timer = { at, order: ++this.#order, callback };
    this.#live.add(timer);
    this.#heap.push(timer);
    this.#rise(this.#heap.length - 1);
    return { cancel: () => void this.#live.delete(timer) };
  }

  first(): FakeTimer | undefined {
    for (let first = this.#heap[0]; first !== undefined; first = this.#heap[0]) {
      if (this.#live.has(first)) return first;
      this.#pop();
    }
    return undefined;
  }

  remove(timer: FakeTimer): void {
    this.#live.delete(timer);
  }

  #pop(): void {
    const last = this.#heap.pop();
    if (last === undefined || this.#heap.length === 0) return;
    this.#heap[0] = last;
    for (let slot = 0; ;) {
      let least = slot;
      for (const below of [2 * slot + 1, 2 * slot + 2])
        if (this.#before(below, least)) least = below;
      if (least === slot) return;
      this.#swap(slot, least);
      slot = least;
    }
  }

  #rise(from: number): void {
    for (let slot = from; slot > 0;) {
      const above = (slot - 1) >> 1;
      if (!this.#before(slot, above)) return;
      this.#swap(slot, above);
      slot = above;
    }
  }

  #before(left: number, right: number): boolean {
    const [one, other] = [this.#heap[left], this.#heap[right]];
    if (one === undefined || other === undefined) return false;
    return one.at < other.at || (one.at === other.at && one.order < other.order);
  }

  #swap(left: number, right: number): void {
    const kept = this.#heap[left] as FakeTimer;
    this.#heap[left] = this.#heap[right] as FakeTimer;
    this.#heap[right] = kept;
  }
}
