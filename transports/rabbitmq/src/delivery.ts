import type {
  Delivery,
  Envelope,
  Failure,
  Position,
  Session,
  Settled,
  Settlement,
} from "@waybill/core";
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
export class AmqpDelivery implements Delivery {
  readonly envelope: Envelope;
  readonly attempt: number;
  readonly handle: string;
  readonly enqueuedAt: number;
  readonly failure: Failure | undefined;
  readonly position: Position | undefined = undefined;
  readonly session: Session | undefined = undefined;
  onLockLost: (() => void) | undefined = undefined;

  readonly message: ConsumeMessage;
  readonly read: Read;
  readonly channel: Channel;
  readonly bytes: number;
  /** Settled, being settled, or lost. */
  over = false;
  readonly #settler: Settler;

  constructor({ message, read, handle, channel, settler }: DeliveryParts) {
    this.handle = handle;
    this.envelope = read.envelope;
    this.attempt = read.attempts + read.returns + 1;
    this.enqueuedAt = read.enqueuedAt;
    this.failure = read.failure;
    this.message = message;
    this.read = read;
    this.channel = channel;
    this.bytes = message.content.byteLength;
    this.#settler = settler;
  }

  get expiryLifted(): boolean {
    return this.read.expiryLifted;
  }

  /** The same message once more, from the same hand. */
  again(): AmqpDelivery {
    const { message, read, handle, channel } = this;
    return new AmqpDelivery({ message, read, handle, channel, settler: this.#settler });
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
