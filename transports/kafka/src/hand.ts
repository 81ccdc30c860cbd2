import type { ReceiveOptions } from "@waybill/core";
import type { KafkaDelivery } from "./delivery.ts";
import type { Entry, Window } from "./window.ts";

/** What a receiver has in hand: handed over and not settled, or about to be. */
export class Hand {
  readonly #limits: Pick<ReceiveOptions, "prefetch" | "prefetchBytes">;
  readonly #held = new Set<KafkaDelivery>();
  #bytes = 0;

  constructor(limits: Pick<ReceiveOptions, "prefetch" | "prefetchBytes">) {
    this.#limits = limits;
  }

  hasRoom({ bytes }: Entry): boolean {
    const { prefetch, prefetchBytes } = this.#limits;
    const { size } = this.#held;
    return size < prefetch && (size === 0 || this.#bytes + bytes <= prefetchBytes);
  }

  take(delivery: KafkaDelivery): void {
    this.#held.add(delivery);
    this.#bytes += delivery.entry.bytes;
  }

  has(delivery: KafkaDelivery): boolean {
    return this.#held.has(delivery);
  }

  /** False when it was not in hand any more. */
  letGo(delivery: KafkaDelivery): boolean {
    if (!this.#held.delete(delivery)) return false;
    this.#bytes -= delivery.entry.bytes;
    return true;
  }

  all(): readonly KafkaDelivery[] {
    return [...this.#held];
  }

  of(window: Window): readonly KafkaDelivery[] {
    return this.all().filter(({ entry }) => entry.window === window);
  }
}
