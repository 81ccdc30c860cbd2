import type { Envelope, Failure, Position, Session, Settled, Settlement } from "@waybill/core";
import { handleOf, HeldDelivery } from "@waybill/core/adapter";
import type { Read } from "./message.ts";
import type { Note, Noted } from "./notes.ts";
import type { Pulled } from "./pull.ts";

/** Who carries a settlement out. */
export interface Settler {
  settle(delivery: NatsDelivery, settlement: Settlement): Promise<Settled>;
  countRun(delivery: NatsDelivery, failure: Failure): Promise<Settled>;
}

export interface DeliveryParts {
  readonly address: string;
  readonly message: Pulled;
  readonly read: Read;
  readonly note: Note;
  readonly leasedAt: number;
  readonly settler: Settler;
}

/** A message whose lease this process renews. */
export class NatsDelivery extends HeldDelivery {
  readonly envelope: Envelope;
  attempt: number;
  readonly handle: string;
  readonly enqueuedAt: number;
  failure: Failure | undefined;
  readonly position: Position | undefined = undefined;
  readonly session: Session | undefined = undefined;

  readonly message: Pulled;
  readonly read: Read;
  /** As it is written down. */
  note: Note;
  readonly bytes: number;
  readonly noted: Noted;
  /** When the lease was last known to begin, on the monotonic clock. */
  leasedAt: number;
  /** The server has said so since; before, it began when the server sent it, which nobody here knows. */
  isRenewed = false;
  readonly #settler: Settler;

  constructor({ address, message, read, note, leasedAt, settler }: DeliveryParts) {
    super();
    const { deliveries, sequence, timestampNanos } = message;
    this.handle = handleOf(address, sequence);
    this.envelope = read.envelope;
    this.attempt = Math.max(1, read.attempts + deliveries - note.uncounted);
    this.enqueuedAt = read.enqueuedAt;
    this.failure = note.failure ?? read.failure;
    this.message = message;
    this.read = read;
    this.note = note;
    this.bytes = message.raw.data.byteLength;
    this.noted = { address, sequence, timestampNanos };
    this.leasedAt = leasedAt;
    this.#settler = settler;
  }

  get expiryLifted(): boolean {
    return this.read.expiryLifted;
  }

  countRun(failure: Failure): Promise<Settled> {
    return this.over ? Promise.resolve("lockLost") : this.#settler.countRun(this, failure);
  }

  protected end(settlement: Settlement): Promise<Settled> {
    return this.#settler.settle(this, settlement);
  }
}
