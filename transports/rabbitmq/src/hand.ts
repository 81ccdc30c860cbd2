import type { Environment, ReceiveOptions } from "@waybill/core";
import type { Channel } from "amqplib";
import type { AmqpDelivery } from "./delivery.ts";

export interface HandParts {
  readonly environment: Environment;
  readonly options: Pick<ReceiveOptions, "prefetchBytes">;
  /** Nothing is handed over for now. */
  readonly rests: () => boolean;
  readonly deliver: (batch: readonly AmqpDelivery[]) => void;
  /** It has waited too long, and is held like the others until it is settled. */
  readonly expire: (delivery: AmqpDelivery) => void;
  /** Lets those that came before know how often they were not touched. Never rejects. */
  readonly count: (deliveries: readonly AmqpDelivery[]) => Promise<void>;
  /** Nothing is held any more. */
  readonly idle: () => void;
}

/** What a consumer was given: waiting to be handed over, in its order, or held until it is settled. */
export class Hand {
  readonly #parts: HandParts;
  readonly #held = new Set<AmqpDelivery>();
  /** Came and was not handed over: the bytes of what is held allow no more for now. */
  #waiting: AmqpDelivery[] = [];
  /** Came before, and how often untouched is still to be asked. */
  readonly #unknown: AmqpDelivery[] = [];
  #heldBytes = 0;
  #handing = false;

  constructor(parts: HandParts) {
    this.#parts = parts;
  }

  get isEmpty(): boolean {
    return this.#held.size === 0;
  }

  get waiting(): readonly AmqpDelivery[] {
    return this.#waiting;
  }

  holds(delivery: AmqpDelivery): boolean {
    return this.#held.has(delivery);
  }

  take(delivery: AmqpDelivery): void {
    this.#waiting.push(delivery);
    if (!delivery.isKnown) this.#unknown.push(delivery);
    if (this.#handing) return;
    this.#handing = true;
    // What one read of the socket brought is handed over together.
    this.#parts.environment.timers.soon(() => {
      this.#handing = false;
      const unknown = this.#unknown.splice(0);
      if (unknown.length > 0) void this.#parts.count(unknown).then(() => this.#handOver());
      this.#handOver();
    });
  }

  /** These wait, instead of those that waited. */
  putBack(deliveries: readonly AmqpDelivery[]): void {
    this.#waiting = [...deliveries];
    this.#handOver();
  }

  takeBack(): readonly AmqpDelivery[] {
    return this.#waiting.splice(0);
  }

  letGo(delivery: AmqpDelivery): void {
    if (!this.#held.delete(delivery)) return;
    this.#heldBytes -= delivery.bytes;
    if (this.#held.size === 0) this.#parts.idle();
    if (this.#waiting.length > 0) this.#handOver();
  }

  /** The channel has ended, and with it everything that it gave. */
  lose(channel: Channel): void {
    this.#waiting = this.#waiting.filter((delivery) => delivery.channel !== channel);
    this.loseAll();
  }

  loseAll(): void {
    const lost = [...this.#held];
    this.#held.clear();
    this.#heldBytes = 0;
    for (const delivery of lost) {
      const wasOver = delivery.over;
      delivery.over = true;
      if (!wasOver) delivery.onLockLost?.();
    }
    this.#parts.idle();
  }

  #handOver(): void {
    if (this.#parts.rests()) return;
    const { options, environment, deliver, expire } = this.#parts;
    const now = environment.clock.now();
    const batch: AmqpDelivery[] = [];
    const late: AmqpDelivery[] = [];
    let taken = 0;
    for (const delivery of this.#waiting) {
      if (!delivery.isKnown) break;
      if (this.#held.size > 0 && this.#heldBytes + delivery.bytes > options.prefetchBytes) break;
      taken += 1;
      this.#held.add(delivery);
      this.#heldBytes += delivery.bytes;
      ((delivery.read.notAfter ?? Infinity) < now ? late : batch).push(delivery);
    }
    if (taken > 0) this.#waiting = this.#waiting.slice(taken);
    if (batch.length > 0) deliver(batch);
    // Who lets go of one comes back here for the next: only when nothing is between two places.
    for (const delivery of late) expire(delivery);
  }
}
