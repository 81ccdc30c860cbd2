import type { MemoryDelivery } from "./delivery.ts";

/** What a receiver holds and has not settled: a list that a delivery leaves in constant time. */
export class Hand {
  #first: MemoryDelivery | undefined;
  #last: MemoryDelivery | undefined;
  #count = 0;
  #bytes = 0;

  get count(): number {
    return this.#count;
  }

  /** Bytes of body. */
  get bytes(): number {
    return this.#bytes;
  }

  add(delivery: MemoryDelivery): void {
    delivery.previous = this.#last;
    if (this.#last === undefined) this.#first = delivery;
    else this.#last.next = delivery;
    this.#last = delivery;
    this.#count += 1;
    this.#bytes += delivery.message.parcel.bytes;
  }

  drop(delivery: MemoryDelivery): void {
    delivery.over = true;
    if (delivery.previous === undefined) this.#first = delivery.next;
    else delivery.previous.next = delivery.next;
    if (delivery.next === undefined) this.#last = delivery.previous;
    else delivery.next.previous = delivery.previous;
    // Whoever keeps a settled delivery must not keep its neighbours alive.
    delivery.previous = undefined;
    delivery.next = undefined;
    this.#count -= 1;
    this.#bytes -= delivery.message.parcel.bytes;
  }

  /** A copy: what is told to the owner of a delivery may change the hand. */
  all(): readonly MemoryDelivery[] {
    const deliveries: MemoryDelivery[] = [];
    for (let delivery = this.#first; delivery !== undefined; delivery = delivery.next)
      deliveries.push(delivery);
    return deliveries;
  }
}
