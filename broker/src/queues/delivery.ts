import type {
  Delivery,
  Envelope,
  Failure,
  Position,
  Session,
  Settled,
  Settlement,
} from "@waybill/core";
import { expiryLifted } from "../operating/dead-letters.ts";

/** Who settles deliveries. */
export interface Settler {
  settle(delivery: QueueDelivery, settlement: Settlement): Promise<Settled>;
  countRun(delivery: QueueDelivery, failure: Failure): Promise<Settled>;
  /** The session of that name, as the holder of that delivery sees it. */
  session(name: string, delivery: QueueDelivery): Session;
}

/** What the broker knows of a claimed message beside its content. */
export interface Claimed {
  readonly seq: number;
  readonly lease: number;
  readonly address: number;
  /** Where it waits: at the address itself, or in a session's line. */
  readonly line: number;
  readonly bytes: number;
  readonly expires: number | null;
}

export interface Content {
  readonly envelope: Envelope;
  readonly attempt: number;
  readonly enqueuedAt: number;
  readonly failure: Failure | undefined;
  /** Of a replayed item of a stream: where it stood. */
  readonly position: Position | undefined;
  /** Name of its session. */
  readonly session: string | undefined;
}

export class QueueDelivery implements Delivery, Claimed {
  readonly envelope: Envelope;
  attempt: number;
  readonly enqueuedAt: number;
  failure: Failure | undefined;
  readonly position: Position | undefined;
  readonly session: Session | undefined;
  onLockLost: (() => void) | undefined;
  readonly seq: number;
  readonly lease: number;
  readonly address: number;
  readonly line: number;
  readonly bytes: number;
  readonly expires: number | null;
  readonly #settler: Settler;

  constructor(settler: Settler, claimed: Claimed, content: Content) {
    this.envelope = content.envelope;
    this.attempt = content.attempt;
    this.enqueuedAt = content.enqueuedAt;
    this.failure = content.failure;
    this.position = content.position;
    this.onLockLost = undefined;
    this.seq = claimed.seq;
    this.lease = claimed.lease;
    this.address = claimed.address;
    this.line = claimed.line;
    this.bytes = claimed.bytes;
    this.expires = claimed.expires;
    this.#settler = settler;
    this.session =
      content.session === undefined ? undefined : settler.session(content.session, this);
  }

  get handle(): string | undefined {
    return this.position === undefined ? String(this.seq) : undefined;
  }

  get expiryLifted(): boolean {
    return this.expires === expiryLifted;
  }

  countRun(failure: Failure): Promise<Settled> {
    return this.#settler.countRun(this, failure);
  }

  settle(settlement: Settlement): Promise<Settled> {
    return this.#settler.settle(this, settlement);
  }

  lose(): void {
    const notify = this.onLockLost;
    this.onLockLost = undefined;
    notify?.();
  }
}
