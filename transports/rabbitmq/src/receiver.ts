import {
  type Environment,
  type Listener,
  type ReceiveOptions,
  type Receiver,
  type Settled,
  type Settlement,
  WaybillError,
} from "@waybill/core";
import type { Channel, ConsumeMessage } from "amqplib";
import { Acknowledgements, prefetchOf } from "./acknowledgements.ts";
import { AmqpDelivery, type Settler } from "./delivery.ts";
import { brokerError } from "./errors.ts";
import { handleOf } from "./handles.ts";
import { KeptChannel, plainChannel } from "./kept-channel.ts";
import type { Link } from "./link.ts";
import { expiryOf, readMessage } from "./message.ts";

/** Puts a message somewhere else, before this one is acknowledged. Resolves when the broker has confirmed it. */
export type Move = (delivery: AmqpDelivery, settlement: Settlement) => Promise<void>;

export interface ReceiverParts {
  readonly queue: string;
  /**
   * No other consumer gets anything while this one is there. So it stays until what it holds is settled, for else
   * the next one would get what stands behind.
   */
  readonly isSingle: boolean;
  readonly address: string;
  readonly options: ReceiveOptions;
  readonly listener: Listener;
  readonly link: Link;
  readonly environment: Environment;
  readonly move: Move;
  /** The queue is not there any more: makes it again, where this process declared it. */
  readonly restore: () => Promise<void>;
  readonly onEnd: (receiver: RabbitmqReceiver) => void;
}

/** One consumer on a channel of its own. */
export class RabbitmqReceiver implements Receiver, Settler {
  readonly #parts: ReceiverParts;
  readonly #kept: KeptChannel<Channel>;
  readonly #held = new Set<AmqpDelivery>();
  /** Came and was not handed over: the bytes of what is held allow no more for now. */
  #waiting: AmqpDelivery[] = [];
  /** Given back while intake ends, where it must not come elsewhere before what is still held. */
  #returning: AmqpDelivery[] = [];
  #heldBytes = 0;
  #handing = false;
  #consumer: { readonly channel: Channel; readonly tag: string } | undefined;
  #paused = false;
  #stopping: Promise<void> | undefined;
  #idle: (() => void) | undefined;
  readonly #acknowledgements: Acknowledgements;

  constructor(parts: ReceiverParts) {
    this.#parts = parts;
    const { link, environment, listener, address, options } = parts;
    this.#acknowledgements = new Acknowledgements(environment, options);
    this.#kept = new KeptChannel<Channel>({
      doing: `Receiving from "${address}"`,
      link,
      environment,
      open: plainChannel,
      ready: (channel) => this.#ready(channel),
      lost: (channel) => this.#lost(channel),
      fault: (error) => listener.fault(error),
    });
    this.#kept.start();
  }

  pause(): void {
    this.#paused = true;
    if (!this.#mustStay) this.#leave();
  }

  get #mustStay(): boolean {
    return this.#parts.isSingle && this.#held.size > 0;
  }

  #leave(): void {
    this.#endConsumer().catch((error: unknown) => this.#fault(error));
  }

  resume(): void {
    if (!this.#paused || this.#stopping !== undefined) return;
    this.#paused = false;
    if (this.#consumer !== undefined) return this.#goOn();
    const channel = this.#kept.current;
    if (channel !== undefined)
      void this.#consume(channel).catch((error: unknown) => this.#fault(error));
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  /** Ends the channel, and with it the locks of what is still held. */
  async close(): Promise<void> {
    this.#stopping ??= Promise.resolve();
    await this.#kept.close();
    this.#loseAll();
  }

  async settle(delivery: AmqpDelivery, settlement: Settlement): Promise<Settled> {
    const { channel, message } = delivery;
    if (channel !== this.#kept.current) return "lockLost";
    if (settlement.kind === "release" && (settlement.delayMs ?? 0) <= 0) {
      if (this.#parts.isSingle && (this.#paused || this.#stopping !== undefined)) {
        this.#returning.push(delivery);
        this.#letGo(delivery);
        return "settled";
      }
      this.#letGo(delivery);
      return this.#acknowledgements.giveBack(channel, message);
    }
    if (settlement.kind !== "complete" || settlement.send !== undefined)
      await this.#parts.move(delivery, settlement);
    // What was moved has arrived; that the message itself comes again is a repetition, not a loss.
    if (!this.#held.has(delivery)) return "lockLost";
    this.#letGo(delivery);
    return this.#acknowledgements.acknowledge(channel, message);
  }

  async #ready(channel: Channel): Promise<void> {
    await channel.prefetch(prefetchOf(this.#parts.options));
    if (!this.#paused && this.#stopping === undefined) await this.#consume(channel);
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
    if (this.#paused || this.#stopping !== undefined) await this.#endConsumer();
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
    void this.#parts
      .restore()
      .then(() => this.#consume(channel))
      .catch((error: unknown) => this.#fault(error));
  }

  async #endConsumer(): Promise<void> {
    const consumer = this.#consumer;
    this.#consumer = undefined;
    if (consumer === undefined || consumer.channel !== this.#kept.current) return;
    await consumer.channel.cancel(consumer.tag);
    // Now nothing comes any more: what came and was not handed over goes back.
    for (const { message } of this.#takeBack())
      void this.#acknowledgements.giveBack(consumer.channel, message);
  }

  /** What goes back or did not begin, in the order in which it came. */
  #takeBack(): readonly AmqpDelivery[] {
    return [...this.#returning.splice(0), ...this.#waiting.splice(0)].toSorted(
      (one, other) => one.message.fields.deliveryTag - other.message.fields.deliveryTag,
    );
  }

  /** The consumer had not left yet: what it was about to give back is delivered once more. */
  #goOn(): void {
    const returning = new Set(this.#returning);
    this.#waiting = this.#takeBack().map((each) => (returning.has(each) ? each.again() : each));
    this.#handOver();
  }

  async #stop(): Promise<void> {
    if (!this.#mustStay) await this.#endConsumer().catch((error: unknown) => this.#fault(error));
    if (this.#held.size > 0) void this.#whenIdle().then(() => this.#end());
    else await this.#end();
  }

  async #end(): Promise<void> {
    await this.#acknowledgements.last;
    await this.#acknowledgements.calm();
    await this.#kept.close();
    this.#parts.onEnd(this);
  }

  #whenIdle(): Promise<void> {
    return new Promise((resolve) => (this.#idle = resolve));
  }

  #take(message: ConsumeMessage, channel: Channel): void {
    const { environment, address } = this.#parts;
    const known = readMessage(message, environment.clock.now());
    const handle = handleOf(address, known.envelope.header.id);
    this.#acknowledgements.came(message);
    this.#waiting.push(new AmqpDelivery({ message, read: known, handle, channel, settler: this }));
    if (this.#handing) return;
    this.#handing = true;
    // What one read of the socket brought is handed over together.
    this.#parts.environment.timers.soon(() => {
      this.#handing = false;
      this.#handOver();
    });
  }

  #handOver(): void {
    if (this.#paused || this.#stopping !== undefined) return;
    const { options, environment, listener } = this.#parts;
    const now = environment.clock.now();
    const batch: AmqpDelivery[] = [];
    const late: AmqpDelivery[] = [];
    let taken = 0;
    for (const delivery of this.#waiting) {
      if (this.#held.size > 0 && this.#heldBytes + delivery.bytes > options.prefetchBytes) break;
      taken += 1;
      this.#held.add(delivery);
      this.#heldBytes += delivery.bytes;
      ((delivery.read.notAfter ?? Infinity) < now ? late : batch).push(delivery);
    }
    if (taken > 0) this.#waiting = this.#waiting.slice(taken);
    if (batch.length > 0) listener.deliver(batch);
    // Who lets go of one comes back here for the next: only when nothing is between two places.
    for (const delivery of late) this.#expire(delivery);
  }

  /** What has waited too long is set aside when it comes to a receiver. RabbitMQ could do it before, but only loses it or counts a process for each queue. */
  #expire(delivery: AmqpDelivery): void {
    const { discardExpired } = delivery.read;
    delivery
      .settle(
        discardExpired
          ? { kind: "complete" }
          : { kind: "deadLetter", failure: expiryOf(delivery.read) },
      )
      .catch((error: unknown) => this.#fault(error));
  }

  #letGo(delivery: AmqpDelivery): void {
    if (!this.#held.delete(delivery)) return;
    this.#heldBytes -= delivery.bytes;
    if (this.#held.size === 0) {
      if (this.#paused && this.#stopping === undefined) this.#leave();
      this.#idle?.();
    }
    if (this.#waiting.length > 0) this.#handOver();
  }

  #lost(channel: Channel): void {
    if (this.#consumer?.channel === channel) this.#consumer = undefined;
    this.#waiting = this.#waiting.filter((delivery) => delivery.channel !== channel);
    this.#returning = this.#returning.filter((delivery) => delivery.channel !== channel);
    this.#acknowledgements.forget();
    this.#loseAll();
  }

  #loseAll(): void {
    const lost = [...this.#held];
    this.#held.clear();
    this.#heldBytes = 0;
    for (const delivery of lost) {
      const wasOver = delivery.over;
      delivery.over = true;
      if (!wasOver) delivery.onLockLost?.();
    }
    this.#idle?.();
  }

  #fault(error: unknown): void {
    if (this.#stopping === undefined)
      this.#parts.listener.fault(brokerError(`Receiving from "${this.#parts.address}"`, error));
  }
}
