import type { Envelope, Failure, Position, Session, Settled, Settlement } from "@waybill/core";
import { HeldDelivery } from "@waybill/core/adapter";
import type { Extras, Read } from "./message.ts";
import type { Entry } from "./window.ts";

/** Who carries a settlement out. */
export interface Settler {
  settle(delivery: KafkaDelivery, settlement: Settlement): Promise<Settled>;
  /** Answers how often it was tried by now; undefined when it is somebody else's. */
  countRun(delivery: KafkaDelivery): Promise<number | undefined>;
}

/** What names a message. */
export interface Identity {
  readonly token: string;
  readonly handle: string | undefined;
  readonly position: Position | undefined;
}

export interface DeliveryParts extends Identity {
  readonly entry: Entry;
  readonly read: Read;
  /** How often this record was handed over before. */
  readonly before: number;
  readonly settler: Settler;
}

/** A message in the hands of this process, which has its partition. */
export class KafkaDelivery extends HeldDelivery {
  readonly envelope: Envelope;
  attempt: number;
  readonly handle: string | undefined;
  readonly enqueuedAt: number;
  failure: Failure | undefined;
  readonly position: Position | undefined;
  readonly session: Session | undefined = undefined;

  readonly entry: Entry;
  readonly read: Read;
  /** What its handle is made of. */
  readonly token: string;
  readonly #settler: Settler;

  constructor({ token, handle, position, entry, read, before, settler }: DeliveryParts) {
    super();
    this.token = token;
    this.handle = handle;
    this.position = position;
    this.envelope = read.envelope;
    this.attempt = read.attempts + before + 1;
    this.enqueuedAt = read.enqueuedAt;
    this.failure = read.failure;
    this.entry = entry;
    this.read = read;
    this.#settler = settler;
  }

  get expiryLifted(): boolean {
    return this.read.expiryLifted;
  }

  async countRun(failure: Failure): Promise<Settled> {
    if (this.over) return "lockLost";
    const runs = await this.#settler.countRun(this);
    if (runs === undefined) return "lockLost";
    this.attempt = this.read.attempts + runs;
    this.failure = failure;
    return "settled";
  }

  /** What a copy of it carries on. */
  get kept(): Extras {
    const { notAfter, discardExpired, expiryLifted, enqueuedAt } = this.read;
    return { notAfter, discardExpired, expiryLifted, enqueuedAt, token: this.token };
  }

  protected end(settlement: Settlement): Promise<Settled> {
    return this.#settler.settle(this, settlement);
  }
}
