import type { Envelope, Failure, Position, Session, Settled, Settlement } from "@waybill/core";
import { HeldDelivery } from "@waybill/core/adapter";
import type { Channel, ConsumeMessage } from "amqplib";
import type { Read } from "./message.ts";

/** Who carries a settlement out. */
export interface Settler {
  settle(delivery: AmqpDelivery, settlement: Settlement): Promise<Settled>;
}

/** What is known of a message when it comes. */
export interface DeliveryParts {
  readonly message: ConsumeMessage;
  readonly read: Read;
  readonly handle: string;
  readonly channel: Channel;
  readonly settler: Settler;
}

/** A message that a channel of ours holds. The channel is its lock: when it ends, the message is somebody else's. */
export class AmqpDelivery extends HeldDelivery {
  readonly envelope: Envelope;
  attempt: number;
  readonly handle: string;
  readonly enqueuedAt: number;
  readonly failure: Failure | undefined;
  readonly position: Position | undefined;
  readonly session: Session | undefined = undefined;

  readonly message: ConsumeMessage;
  readonly read: Read;
  readonly channel: Channel;
  readonly bytes: number;
  /** How many of its deliveries before were given back untouched. */
  uncounted = 0;
  /** Whether that is known: what comes for the first time was never given back. */
  isKnown: boolean;
  readonly #settler: Settler;

  constructor({ message, read, handle, channel, settler }: DeliveryParts) {
    super();
    this.handle = handle;
    this.envelope = read.envelope;
    this.attempt = read.attempts + read.returns + 1;
    this.enqueuedAt = read.enqueuedAt;
    this.failure = read.failure;
    this.position = read.position;
    this.message = message;
    this.read = read;
    this.channel = channel;
    this.bytes = message.content.byteLength;
    this.isKnown = read.returns === 0;
    this.#settler = settler;
  }

  know(uncounted: number): void {
    const { attempts, returns } = this.read;
    this.uncounted = Math.min(uncounted, returns);
    this.attempt = attempts + returns - this.uncounted + 1;
    this.isKnown = true;
  }

  get expiryLifted(): boolean {
    return this.read.expiryLifted;
  }

  /** The same message once more, from the same hand. */
  again(): AmqpDelivery {
    const { message, read, handle, channel } = this;
    const again = new AmqpDelivery({ message, read, handle, channel, settler: this.#settler });
    again.know(this.uncounted);
    return again;
  }

  protected end(settlement: Settlement): Promise<Settled> {
    return this.#settler.settle(this, settlement);
  }
}
