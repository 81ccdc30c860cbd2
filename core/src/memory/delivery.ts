import type { Envelope } from "../envelope.ts";
import type {
  Delivery,
  Failure,
  Position,
  Session,
  Settled,
  Settlement,
} from "../ports/transport.ts";
import { type Message, expiryLifted, handleOf } from "./message.ts";

/** Who answers for a delivery until it is settled. */
export interface DeliveryHolder {
  settle(delivery: MemoryDelivery, settlement: Settlement): Promise<Settled>;
  /** Whether it stands in its hands. */
  holds(delivery: MemoryDelivery): boolean;
  session(delivery: MemoryDelivery): Session | undefined;
}

/**
 * A message in the hands of a receiver. The object is its own fencing token: only the delivery that still
 * stands in its holder's list can settle the message.
 */
export class MemoryDelivery implements Delivery {
  readonly envelope: Envelope;
  attempt: number;
  readonly enqueuedAt: number;
  failure: Failure | undefined;
  readonly position: Position | undefined;
  readonly session: Session | undefined;
  onLockLost: (() => void) | undefined = undefined;

  readonly message: Message;
  /** Monotonic milliseconds. Renewals of the receiver's lease come on top. */
  readonly lockedAt: number;
  /** Settled, or the lock was lost. */
  over = false;
  previous: MemoryDelivery | undefined = undefined;
  next: MemoryDelivery | undefined = undefined;
  readonly #holder: DeliveryHolder;

  constructor(message: Message, holder: DeliveryHolder, lockedAt: number) {
    this.envelope = ownCopy(message.parcel.envelope);
    this.attempt = message.attempt;
    this.enqueuedAt = message.parcel.enqueuedAt;
    this.failure = message.failure;
    this.position = message.position;
    this.message = message;
    this.lockedAt = lockedAt;
    this.#holder = holder;
    this.session = message.session === undefined ? undefined : holder.session(this);
  }

  get handle(): string | undefined {
    return this.position === undefined ? handleOf(this.message) : undefined;
  }

  get expiryLifted(): boolean {
    return this.message.parcel.notAfter === expiryLifted;
  }

  async countRun(failure: Failure): Promise<Settled> {
    if (!this.#holder.holds(this)) return "lockLost";
    this.message.attempt += 1;
    this.message.failure = failure;
    this.attempt = this.message.attempt;
    this.failure = failure;
    return "settled";
  }

  settle(settlement: Settlement): Promise<Settled> {
    return this.#holder.settle(this, settlement);
  }
}

/** Bytes can be written to, so sender, broker and each receiver have their own, as if a network lay between. */
export function ownCopy(envelope: Envelope): Envelope {
  if (typeof envelope.body === "string") return envelope;
  return { header: envelope.header, body: new Uint8Array(envelope.body) };
}
