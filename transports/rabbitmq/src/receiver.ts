import {
  type Receiver,
  type Settled,
  type Settlement,
  type Timer,
  WaybillError,
} from "@waybill/core";
import { handleOf } from "@waybill/core/adapter";
import type { Channel, ConsumeMessage } from "amqplib";
import { Acknowledgements, prefetchOf } from "./acknowledgements.ts";
import { AmqpDelivery, type Settler } from "./delivery.ts";
import { brokerError } from "./errors.ts";
import { GivingBack } from "./giving-back.ts";
import { Hand } from "./hand.ts";
import { KeptChannel, plainChannel } from "./kept-channel.ts";
import { expiryOf, readMessage } from "./message.ts";
import type { ReceiverParts } from "./receiver-parts.ts";

interface Consumer {
  readonly channel: Channel;
  readonly tag: string;
}

/** So long what did not begin waits for what runs, to go back with the channel's end; then it goes by itself. */
const togetherMs = 1_000;

/** One consumer on a channel of its own. */
export class RabbitmqReceiver implements Receiver, Settler {
  readonly #parts: ReceiverParts;
  readonly #kept: KeptChannel<Channel>;
  readonly #hand: Hand;
  readonly #acknowledgements: Acknowledgements;
  readonly #givingBack: GivingBack;
  /** Given back while intake ends, where it must not come elsewhere before what is still held. */
  #returning: AmqpDelivery[] = [];
  #consumer: Consumer | undefined;
  #paused = false;
  #stopping: Promise<void> | undefined;
  #ending: Promise<void> | undefined;
  /** Until it strikes, what goes back waits for the end of the channel. */
  #together: Timer | undefined;
  /** Resolves when what waited for that is back. */
  readonly #back = Promise.withResolvers<Settled>();
  #idle: (() => void) | undefined;

  constructor(parts: ReceiverParts) {
    this.#parts = parts;
    const { link, environment, listener, address, options, note, count } = parts;
    this.#acknowledgements = new Acknowledgements(environment, options);
    this.#hand = new Hand({
      environment,
      options,
      count,
      rests: () => this.#rests,
      deliver: (batch) => listener.deliver(batch),
      expire: (delivery) => this.#expire(delivery),
      idle: () => this.#isIdle(),
    });
    this.#kept = new KeptChannel<Channel>({
      doing: `Receiving from "${address}"`,
      link,
      environment,
      open: plainChannel,
      ready: (channel) => this.#ready(channel),
      opened: (channel) => this.#opened(channel),
      lost: (channel) => this.#lost(channel),
      fault: (error) => listener.fault(error),
    });
    this.#givingBack = new GivingBack({
      environment,
      acknowledgements: this.#acknowledgements,
      isCurrent: (channel) => channel === this.#kept.current,
      note,
    });
    this.#kept.start();
  }

  get #rests(): boolean {
    return this.#paused || this.#stopping !== undefined;
  }

  get #mustStay(): boolean {
    return this.#parts.isSingle && !this.#hand.isEmpty;
  }

  pause(): void {
    this.#paused = true;
    if (!this.#mustStay) this.#leave();
  }

  resume(): void {
    if (!this.#paused || this.#stopping !== undefined) return;
    this.#paused = false;
    if (this.#consumer !== undefined) return this.#goOn();
    const channel = this.#kept.current;
    if (channel !== undefined) void this.#begin(channel);
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Ends the channel, and with it the locks of what is still held. */
  async close(): Promise<void> {
    await this.stop();
    await this.#end();
    this.#hand.loseAll();
  }

  async settle(delivery: AmqpDelivery, settlement: Settlement): Promise<Settled> {
    const { channel, message } = delivery;
    if (channel !== this.#kept.current) return "lockLost";
    if (settlement.kind === "release" && (settlement.delayMs ?? 0) <= 0)
      return this.#giveBack(delivery);
    if (settlement.kind !== "complete" || settlement.send !== undefined)
      await this.#parts.move(delivery, settlement);
    // What was moved has arrived; that the message itself comes again is a repetition, not a loss.
    if (!this.#hand.holds(delivery)) return "lockLost";
    this.#hand.letGo(delivery);
    return this.#acknowledgements.acknowledge(channel, message);
  }

  #giveBack(delivery: AmqpDelivery): Settled | Promise<Settled> {
    const isSingle = this.#parts.isSingle && this.#rests;
    if (isSingle || this.#together !== undefined) {
      this.#returning.push(delivery);
      this.#hand.letGo(delivery);
      return isSingle ? "settled" : this.#back.promise;
    }
    this.#hand.letGo(delivery);
    return this.#givingBack.add(delivery);
  }

  async #ready(channel: Channel): Promise<void> {
    await channel.prefetch(prefetchOf(this.#parts.options));
    if (!this.#rests) await this.#consume(channel);
  }

  /** Somebody may have resumed while it was made ready. */
  #opened(channel: Channel): void {
    if (!this.#rests && this.#consumer === undefined) void this.#begin(channel);
  }

  async #consume(channel: Channel): Promise<void> {
    try {
      const { consumerTag } = await channel.consume(this.#parts.queue, (message) =>
        message === null ? this.#cancelled(channel) : this.#take(message, channel),
      );
      this.#consumer = { channel, tag: consumerTag };
    } catch (error) {
      const known = brokerError(`Receiving from "${this.#parts.address}"`, error);
      if (known.code === "NOT_FOUND") await this.#parts.restore();
      throw known;
    }
    // Somebody paused or stopped while the broker was asked.
    if (this.#rests) await this.#endConsumer();
  }

  /** The broker ended the consumer: the queue was deleted, or moves to another node. */
  #cancelled(channel: Channel): void {
    this.#consumer = undefined;
    this.#fault(
      new WaybillError(
        "TRANSPORT_FAILED",
        `RabbitMQ ended the consumer of "${this.#parts.address}": its queue was deleted or moved. It is made again where it is missing.`,
        { retryable: true },
      ),
    );
    void this.#begin(channel, () => this.#parts.restore());
  }

  /** Where it fails, the next channel tries it again. */
  async #begin(channel: Channel, prepare?: () => Promise<void>): Promise<void> {
    try {
      await prepare?.();
      await this.#consume(channel);
    } catch (error) {
      this.#fault(error);
      if (channel === this.#kept.current) await this.#kept.renew();
    }
  }

  #leave(): void {
    this.#endConsumer().catch((error: unknown) => this.#fault(error));
  }

  async #endConsumer(): Promise<void> {
    const consumer = this.#consumer;
    if (consumer === undefined || consumer.channel !== this.#kept.current) return;
    if (this.#parts.isSingle) return this.#passOn(consumer);
    this.#consumer = undefined;
    await consumer.channel.cancel(consumer.tag);
    // Now nothing comes any more: what came and was not handed over goes back.
    if (this.#together === undefined) void this.#giveAllBack();
  }

  async #giveAllBack(): Promise<void> {
    await Promise.all(this.#takeBack().map((delivery) => this.#givingBack.add(delivery)));
  }

  /** The next one may begin when the consumer leaves, so by then all must be back that stands before: the end of a channel does both in one step. */
  async #passOn(consumer: Consumer): Promise<void> {
    await this.#noteBack();
    await this.#acknowledgements.last;
    if (!this.#rests || this.#mustStay || this.#consumer !== consumer) return;
    this.#consumer = undefined;
    await this.#kept.renew();
  }

  async #noteBack(): Promise<void> {
    const noted = new Set<AmqpDelivery>();
    for (;;) {
      const back = [...this.#returning, ...this.#hand.waiting].filter((each) => !noted.has(each));
      if (back.length === 0) return;
      // What was on its way meanwhile is the next turn's.
      await this.#parts.note(back);
      for (const each of back) noted.add(each);
    }
  }

  /** What goes back or did not begin, in the order in which it came. */
  #takeBack(): readonly AmqpDelivery[] {
    return [...this.#returning.splice(0), ...this.#hand.takeBack()].toSorted(
      (one, other) => one.message.fields.deliveryTag - other.message.fields.deliveryTag,
    );
  }

  /** The consumer had not left yet: what it was about to give back is delivered once more. */
  #goOn(): void {
    const returning = new Set(this.#returning);
    this.#hand.putBack(this.#takeBack().map((each) => (returning.has(each) ? each.again() : each)));
  }

  /**
   * A quorum queue puts off what a channel says beyond some 32 commands, and forgets it when the channel ends. So what is done is acknowledged
   * first, and what did not begin goes back with the channel's end, which is one command; not one by one, which would be before it.
   */
  async #stop(): Promise<void> {
    if (!this.#parts.isSingle)
      this.#together = this.#parts.environment.timers.set(() => {
        this.#together = undefined;
        void this.#giveAllBack().then(() => this.#back.resolve("settled"));
      }, togetherMs);
    if (!this.#mustStay) await this.#endConsumer().catch((error: unknown) => this.#fault(error));
    if (!this.#hand.isEmpty) void this.#whenIdle().then(() => this.#end());
    else await this.#end();
  }

  #end(): Promise<void> {
    return (this.#ending ??= this.#endChannel());
  }

  async #endChannel(): Promise<void> {
    this.#together?.cancel();
    await this.#noteBack();
    await this.#givingBack.done;
    await this.#acknowledgements.last;
    await this.#acknowledgements.calm();
    await this.#kept.close();
    this.#back.resolve("settled");
    this.#parts.onEnd();
  }

  #whenIdle(): Promise<void> {
    return new Promise((resolve) => (this.#idle = resolve));
  }

  #isIdle(): void {
    if (this.#paused && this.#stopping === undefined) this.#leave();
    this.#idle?.();
  }

  #take(message: ConsumeMessage, channel: Channel): void {
    const { environment, address } = this.#parts;
    this.#acknowledgements.came(message);
    const read = readMessage(message, environment.clock.now());
    const handle = handleOf(address, read.envelope.header.id);
    this.#hand.take(new AmqpDelivery({ message, read, handle, channel, settler: this }));
  }

  /** What has waited too long is set aside when it comes to a receiver. RabbitMQ could do it before, but only loses it or counts a process for each queue. */
  #expire(delivery: AmqpDelivery): void {
    delivery.settle(expiryOf(delivery.read)).catch((error: unknown) => this.#fault(error));
  }

  #lost(channel: Channel): void {
    if (this.#consumer?.channel === channel) this.#consumer = undefined;
    this.#returning = this.#returning.filter((delivery) => delivery.channel !== channel);
    this.#acknowledgements.forget();
    this.#hand.lose(channel);
  }

  #fault(error: unknown): void {
    if (this.#stopping === undefined)
      this.#parts.listener.fault(brokerError(`Receiving from "${this.#parts.address}"`, error));
  }
}
