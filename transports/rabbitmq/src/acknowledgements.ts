import { type Environment, type ReceiveOptions, type Settled, sleep } from "@waybill/core";
import type { Channel, ConsumeMessage, Message } from "amqplib";

/** RabbitMQ keeps the count of a channel's prefetch in 16 bits. */
const prefetchMax = 65_535;

export function prefetchOf({ prefetch }: Pick<ReceiveOptions, "prefetch">): number {
  return Math.min(prefetch, prefetchMax);
}

/** A queue takes so many commands of a channel without putting the next ones off. */
const givenBackAtOnce = 16;
/** Far longer than a queue takes for what a prefetch can hold. */
const calmMs = 100;

/**
 * Acknowledgements of one consumer, those of one turn together: as one frame for all up to the first message that is still held. A quorum queue takes
 * some 32 commands of a channel at a time and puts others off; what is put off when the channel ends is forgotten, and its messages come again.
 * AMQP does not answer acknowledgements, but a question on the same channel is answered after them.
 */
export class Acknowledgements {
  readonly #environment: Environment;
  readonly #options: Pick<ReceiveOptions, "prefetch">;
  /** What the channel of now has given us and not got back, in its order; true for what is to be acknowledged. */
  readonly #tags = new Map<number, boolean>();
  #asking: { readonly channel: Channel; readonly answered: Promise<Settled> } | undefined;
  #last: Promise<Settled> | undefined;
  /** Given back one by one on this channel. */
  #givenBack = 0;

  constructor(environment: Environment, options: Pick<ReceiveOptions, "prefetch">) {
    this.#environment = environment;
    this.#options = options;
  }

  /** The latest question; when it is answered everything before it was done. */
  get last(): Promise<Settled> | undefined {
    return this.#last;
  }

  came({ fields }: ConsumeMessage): void {
    this.#tags.set(fields.deliveryTag, false);
  }

  /** settled: the broker has taken the acknowledgement. unknown: the channel ended before it said so. */
  acknowledge(channel: Channel, { fields }: ConsumeMessage): Promise<Settled> {
    this.#tags.set(fields.deliveryTag, true);
    return this.#processed(channel);
  }

  giveBack(channel: Channel, message: ConsumeMessage): Promise<Settled> {
    this.#tags.delete(message.fields.deliveryTag);
    this.#givenBack += 1;
    channel.nack(message, false, true);
    return this.#processed(channel);
  }

  /** Before the channel is ended: lets a queue that was given back a lot come to what it had put off. */
  async calm(): Promise<void> {
    if (this.#givenBack > givenBackAtOnce) await sleep(this.#environment.timers, calmMs);
  }

  /** The channel has ended, and with it what it had given. */
  forget(): void {
    this.#givenBack = 0;
    this.#tags.clear();
  }

  #processed(channel: Channel): Promise<Settled> {
    if (this.#asking?.channel === channel) return this.#asking.answered;
    const answered = new Promise<Settled>((resolve) =>
      this.#environment.timers.soon(() => {
        if (this.#asking?.answered === answered) this.#asking = undefined;
        this.#ask(channel).then(
          () => resolve("settled"),
          () => resolve("unknown"),
        );
      }),
    );
    this.#last = answered;
    this.#asking = { channel, answered };
    return answered;
  }

  async #ask(channel: Channel): Promise<void> {
    this.#write(channel);
    // Any question will do; this one changes nothing.
    await channel.prefetch(prefetchOf(this.#options));
  }

  #write(channel: Channel): void {
    let all = 0;
    for (const [tag, done] of this.#tags) {
      if (!done) break;
      all = tag;
      this.#tags.delete(tag);
    }
    if (all > 0) channel.ack(tagged(all), true);
    for (const [tag, done] of this.#tags) {
      if (!done) continue;
      channel.ack(tagged(tag));
      this.#tags.delete(tag);
    }
  }
}

/** All that amqplib reads of a message that is acknowledged. */
function tagged(deliveryTag: number): Message {
  const fields = { deliveryTag, redelivered: false, exchange: "", routingKey: "" };
  return { fields } as Message;
}
