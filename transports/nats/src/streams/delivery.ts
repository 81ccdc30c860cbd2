import type { Envelope, Failure, Position, Session, Settled, Settlement } from "@waybill/core";
import { HeldDelivery } from "@waybill/core/adapter";

export interface StreamItem {
  readonly envelope: Envelope;
  readonly enqueuedAt: number;
  readonly position: Position;
  readonly failure: Failure | undefined;
  /** Names what came by a replay among the dead letters of its group, and nowhere else. */
  readonly token: string | undefined;
  readonly bytes: number;
}

/** Who settles what was delivered from a stream. */
export interface StreamSettler {
  settle(delivery: StreamDelivery, settlement: Settlement): Promise<Settled>;
  countRun(delivery: StreamDelivery): Promise<Settled>;
}

/** An item of a stream in the hands of a member of a group. */
export class StreamDelivery extends HeldDelivery {
  readonly envelope: Envelope;
  attempt: number;
  readonly enqueuedAt: number;
  /** Of the last run here; a group keeps none. */
  failure: Failure | undefined;
  readonly position: Position;
  readonly handle: string | undefined = undefined;
  readonly session: Session | undefined = undefined;
  readonly expiryLifted: boolean;

  readonly item: StreamItem;
  readonly #settler: StreamSettler;

  constructor(item: StreamItem, attempt: number, settler: StreamSettler) {
    super();
    this.envelope = item.envelope;
    this.attempt = attempt;
    this.enqueuedAt = item.enqueuedAt;
    this.failure = item.failure;
    this.position = item.position;
    this.expiryLifted = item.token !== undefined;
    this.item = item;
    this.#settler = settler;
  }

  protected end(settlement: Settlement): Promise<Settled> {
    return this.#settler.settle(this, settlement);
  }

  async countRun(failure: Failure): Promise<Settled> {
    if (this.over) return "lockLost";
    const settled = await this.#settler.countRun(this);
    if (settled === "settled") this.failure = failure;
    return settled;
  }
}
