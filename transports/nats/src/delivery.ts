import type {
  Delivery,
  Envelope,
  Failure,
  Position,
  Session,
  Settled,
  Settlement,
} from "@waybill/core";
import { handleOf } from "./handles.ts";
import type { Read } from "./message.ts";
import type { Note, Noted } from "./notes.ts";
import type { Pulled } from "./pull.ts";

/** Who carries a settlement out. */
export interface Settler {
  settle(delivery: NatsDelivery, settlement: Settlement): Promise<Settled>;
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
export class NatsDelivery implements Delivery {
  readonly envelope: Envelope;
  readonly attempt: number;
  readonly handle: string;
  readonly enqueuedAt: number;
  readonly failure: Failure | undefined;
  readonly position: Position | undefined = undefined;
  readonly session: Session | undefined = undefined;
  onLockLost: (() => void) | undefined = undefined;

  readonly message: Pulled;
  readonly read: Read;
  readonly note: Note;
  readonly bytes: number;
  readonly noted: Noted;
  /** When the lease was last known to begin, on the monotonic clock. */
  leasedAt: number;
  /** Settled, being settled, or lost. */
  over = false;
  readonly #settler: Settler;

  constructor({ address, message, read, note, leasedAt, settler }: DeliveryParts) {
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

  async settle(settlement: Settlement): Promise<Settled> {
    if (this.over) return "lockLost";
    this.over = true;
    try {
      return await this.#settler.settle(this, settlement);
    } catch (error) {
      // What was to be sent was refused; the message is still held and can be settled otherwise.
      this.over = false;
      throw error;
    }
  }
}
