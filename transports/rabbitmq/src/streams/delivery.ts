import type { Delivery, Envelope, Failure, Position, Settled, Settlement } from "@waybill/core";
import { HeldDelivery } from "@waybill/core/adapter";
import type { Read } from "../message.ts";
import type { AmqpDelivery } from "../delivery.ts";

/** Who carries the settlement of an item out. */
export interface ItemSettler {
  settle(delivery: StreamDelivery, settlement: Settlement): Promise<Settled>;
}

/** An item of a partition, in the hand of its only reader. */
export class StreamDelivery extends HeldDelivery {
  readonly envelope: Envelope;
  readonly attempt: number;
  readonly enqueuedAt: number;
  readonly failure: undefined;
  readonly handle: undefined;
  readonly session: undefined;
  readonly position: Position;
  readonly bytes: number;
  readonly #settler: ItemSettler;

  constructor(item: StreamItem, settler: ItemSettler) {
    super();
    this.envelope = item.read.envelope;
    this.attempt = item.attempt;
    this.enqueuedAt = item.read.enqueuedAt;
    this.position = item.position;
    this.bytes = item.bytes;
    this.failure = undefined;
    this.handle = undefined;
    this.session = undefined;
    this.#settler = settler;
  }

  protected end(settlement: Settlement): Promise<Settled> {
    return this.#settler.settle(this, settlement);
  }
}

export interface StreamItem {
  readonly read: Read;
  readonly position: Position;
  readonly attempt: number;
  readonly bytes: number;
}

/** A dead letter that was replayed to its group: a message of a queue, which counts as one item in its reader's hand. */
export class ReplayedDelivery implements Delivery {
  readonly #inner: AmqpDelivery;
  readonly #settled: () => void;
  readonly handle: undefined;
  readonly session: undefined;

  constructor(inner: AmqpDelivery, settled: () => void) {
    this.#inner = inner;
    this.#settled = settled;
    this.handle = undefined;
    this.session = undefined;
  }

  get envelope(): Envelope {
    return this.#inner.envelope;
  }

  get attempt(): number {
    return this.#inner.attempt;
  }

  get enqueuedAt(): number {
    return this.#inner.enqueuedAt;
  }

  get failure(): Failure | undefined {
    return this.#inner.failure;
  }

  get position(): Position | undefined {
    return this.#inner.position;
  }

  get expiryLifted(): boolean {
    return this.#inner.expiryLifted;
  }

  get bytes(): number {
    return this.#inner.bytes;
  }

  get over(): boolean {
    return this.#inner.over;
  }

  get onLockLost(): (() => void) | undefined {
    return this.#inner.onLockLost;
  }

  set onLockLost(told: (() => void) | undefined) {
    this.#inner.onLockLost = () => {
      this.#settled();
      told?.();
    };
  }

  async settle(settlement: Settlement): Promise<Settled> {
    try {
      return await this.#inner.settle(settlement);
    } finally {
      if (this.#inner.over) this.#settled();
    }
  }
}
