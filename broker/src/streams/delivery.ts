import type { Delivery, Envelope, Failure, Position, Settled, Settlement } from "@waybill/core";

export interface StreamItem {
  readonly envelope: Envelope;
  readonly attempt: number;
  readonly enqueuedAt: number;
  readonly position: Position;
}

/** Who settles what was delivered from a stream. */
export interface StreamSettler {
  settle(delivery: StreamDelivery, settlement: Settlement): Promise<Settled>;
  countRun(delivery: StreamDelivery): Promise<Settled>;
}

export class StreamDelivery implements Delivery {
  readonly envelope: Envelope;
  attempt: number;
  readonly enqueuedAt: number;
  readonly session: undefined;
  /** Of the last run here; a group keeps none. */
  failure: Failure | undefined;
  readonly handle: undefined;
  readonly position: Position;
  onLockLost: (() => void) | undefined;
  readonly #settler: StreamSettler;

  constructor(item: StreamItem, settler: StreamSettler) {
    this.envelope = item.envelope;
    this.attempt = item.attempt;
    this.enqueuedAt = item.enqueuedAt;
    this.failure = undefined;
    this.position = item.position;
    this.onLockLost = undefined;
    this.#settler = settler;
  }

  settle(settlement: Settlement): Promise<Settled> {
    return this.#settler.settle(this, settlement);
  }

  async countRun(failure: Failure): Promise<Settled> {
    const settled = await this.#settler.countRun(this);
    if (settled === "settled") this.failure = failure;
    return settled;
  }

  lose(): void {
    const notify = this.onLockLost;
    this.onLockLost = undefined;
    notify?.();
  }
}
