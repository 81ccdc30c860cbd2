import type { Delivery, Envelope, Position, Settled, Settlement } from "@waybill/core";

export interface StreamItem {
  readonly envelope: Envelope;
  readonly attempt: number;
  readonly enqueuedAt: number;
  readonly position: Position;
}

export class StreamDelivery implements Delivery {
  readonly envelope: Envelope;
  readonly attempt: number;
  readonly enqueuedAt: number;
  readonly session: undefined;
  readonly failure: undefined;
  readonly handle: undefined;
  readonly position: Position;
  onLockLost: (() => void) | undefined;
  readonly #settle: (delivery: StreamDelivery, settlement: Settlement) => Promise<Settled>;

  constructor(
    item: StreamItem,
    settle: (delivery: StreamDelivery, settlement: Settlement) => Promise<Settled>,
  ) {
    this.envelope = item.envelope;
    this.attempt = item.attempt;
    this.enqueuedAt = item.enqueuedAt;
    this.failure = undefined;
    this.position = item.position;
    this.onLockLost = undefined;
    this.#settle = settle;
  }

  settle(settlement: Settlement): Promise<Settled> {
    return this.#settle(this, settlement);
  }

  lose(): void {
    const notify = this.onLockLost;
    this.onLockLost = undefined;
    notify?.();
  }
}
