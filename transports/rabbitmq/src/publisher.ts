import { type Environment, type Timer, WaybillError } from "@waybill/core";
import { type ConfirmChannel, IllegalOperationError, type Message, type Options } from "amqplib";
import { messageOf, refusalIn } from "./errors.ts";
import { KeptChannel, confirmChannel } from "./kept-channel.ts";
import { type Link, closedError } from "./link.ts";
import type { Settings } from "./options.ts";
import type { Way } from "./topology.ts";

/** One message as RabbitMQ takes it. */
export interface Parcel {
  readonly way: Way;
  readonly content: Buffer;
  readonly options: Options.Publish;
}

/** Parcels that are confirmed together. */
interface Batch {
  left: number;
  readonly returned: Parcel[];
  /** Monotonic milliseconds. */
  readonly deadline: number;
  over: boolean;
  readonly resolve: (returned: readonly Parcel[]) => void;
  readonly reject: (error: WaybillError) => void;
}

interface Sent {
  readonly parcel: Parcel;
  readonly batch: Batch;
  isReturned: boolean;
}

export interface PublisherParts {
  readonly link: Link;
  readonly settings: Settings;
  readonly environment: Environment;
  readonly fault: (error: WaybillError) => void;
  /** Whether the broker has that exchange. */
  readonly exists: (exchange: string) => Promise<boolean>;
}

const sweepMs = 1_000;

/**
 * Sends with confirms. What was not confirmed when a channel ends is sent again on the next one, so it may arrive twice, with the
 * same id; never less than once.
 */
export class Publisher {
  readonly #parts: PublisherParts;
  readonly #kept: KeptChannel<ConfirmChannel>;
  /** Published on the channel of now, by delivery tag, oldest first. */
  readonly #sent = new Map<number, Sent>();
  /** Not yet published: there is no channel. */
  #waiting: Sent[] = [];
  #nextTag = 1;
  #messages = 0;
  #bytes = 0;
  #sweep: Timer | undefined;
  /** The channel ended over an exchange that is not there, and would again. */
  #missing = false;
  #closed = false;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
    const { link, environment, fault } = parts;
    this.#kept = new KeptChannel<ConfirmChannel>({
      doing: "Sending",
      link,
      environment,
      fault,
      open: confirmChannel,
      ready: (channel) => this.#ready(channel),
      opened: (channel) => this.#sendWaiting(channel),
      lost: (_channel, complaint) => this.#lost(complaint),
    });
  }

  start(): void {
    this.#kept.start();
  }

  /**
   * Resolves when the broker has confirmed all of them, with those that no queue took. Rejects with BUFFER_FULL, or with TRANSPORT_FAILED
   * when the broker refuses one or does not answer in time; then some of the others may have arrived.
   */
  send(parcels: readonly Parcel[]): Promise<readonly Parcel[]> {
    if (this.#closed) return Promise.reject(closedError());
    const { environment, settings } = this.#parts;
    const bytes = parcels.reduce((sum, { content }) => sum + content.byteLength, 0);
    if (!this.#fits(parcels.length, bytes)) return Promise.reject(this.#fullError());
    return new Promise((resolve, reject) => {
      const batch: Batch = {
        left: parcels.length,
        returned: [],
        deadline: environment.clock.monotonic() + settings.sendTimeoutMs,
        over: false,
        resolve,
        reject,
      };
      this.#messages += parcels.length;
      this.#bytes += bytes;
      for (const parcel of parcels) this.#publish({ parcel, batch, isReturned: false });
      this.#sweep ??= environment.timers.set(() => this.#sweepLate(), sweepMs);
    });
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#sweep?.cancel();
    for (const { batch } of [...this.#sent.values(), ...this.#waiting])
      fail(batch, new WaybillError("CLOSED", "The transport closed before RabbitMQ confirmed."));
    this.#sent.clear();
    this.#waiting = [];
    await this.#kept.close();
  }

  #publish(sent: Sent): void {
    const channel = this.#kept.current;
    if (channel === undefined) return void this.#waiting.push(sent);
    this.#publishOn(channel, sent);
  }

  #publishOn(channel: ConfirmChannel, sent: Sent): void {
    const { way, content, options } = sent.parcel;
    try {
      channel.publish(way.exchange, way.key, content, options);
      this.#sent.set(this.#nextTag++, sent);
    } catch (cause) {
      // A channel that is just ending throws; what the protocol cannot say does, too, and would on the next channel.
      if (cause instanceof IllegalOperationError) this.#waiting.push(sent);
      else this.#refuse(sent, cause);
    }
  }

  #refuse(sent: Sent, cause: unknown): void {
    this.#release(sent);
    fail(
      sent.batch,
      new WaybillError(
        "MESSAGE_INVALID",
        `AMQP 0-9-1 cannot carry the header of ${sent.parcel.options.messageId ?? "a message"}: ${messageOf(cause)}. Move what is large from its attributes into the body; all of it may have 64 KiB.`,
        { cause },
      ),
    );
  }

  async #ready(channel: ConfirmChannel): Promise<void> {
    if (this.#missing) await this.#dropUnroutable();
    this.#nextTag = 1;
    channel.on("ack", ({ deliveryTag, multiple }) =>
      this.#confirmed(deliveryTag, multiple, (sent) => this.#arrived(sent)),
    );
    channel.on("nack", ({ deliveryTag, multiple }) =>
      this.#confirmed(deliveryTag, multiple, (sent) => this.#refused(sent)),
    );
    channel.on("return", (message) => this.#returned(message));
    this.#sendWaiting(channel);
  }

  #sendWaiting(channel: ConfirmChannel): void {
    const again = this.#waiting;
    this.#waiting = [];
    for (const sent of again)
      if (!sent.batch.over) this.#publishOn(channel, sent);
      else this.#release(sent);
  }

  async #dropUnroutable(): Promise<void> {
    const there = new Map<string, boolean>([["", true]]);
    for (const { parcel } of this.#waiting) {
      const { exchange } = parcel.way;
      if (!there.has(exchange)) there.set(exchange, await this.#parts.exists(exchange));
    }
    this.#missing = false;
    for (const [exchange, isThere] of there)
      if (!isThere) this.#drop(({ way }) => way.exchange === exchange, goneError(exchange));
  }

  /** Sending it again would end the next channel, too. */
  #drop(refuses: (parcel: Parcel) => boolean, error: WaybillError): void {
    this.#waiting = this.#waiting.filter((sent) => {
      if (!refuses(sent.parcel)) return true;
      this.#release(sent);
      fail(sent.batch, error);
      return false;
    });
  }

  #lost(complaint: WaybillError | undefined): void {
    this.#missing ||= complaint?.code === "NOT_FOUND";
    this.#waiting = [...this.#sent.values(), ...this.#waiting];
    for (const sent of this.#waiting) sent.isReturned = false;
    this.#sent.clear();
    const refusal = complaint === undefined ? undefined : refusalIn(complaint);
    if (refusal !== undefined) this.#drop(refusal.refuses, refusal.error);
  }

  #confirmed(tag: number, multiple: boolean, take: (sent: Sent) => void): void {
    if (!multiple) return this.#takeOne(tag, take);
    for (const earlier of this.#sent.keys()) {
      if (earlier > tag) return;
      this.#takeOne(earlier, take);
    }
  }

  #takeOne(tag: number, take: (sent: Sent) => void): void {
    const sent = this.#sent.get(tag);
    if (sent === undefined) return;
    this.#sent.delete(tag);
    this.#release(sent);
    take(sent);
  }

  #arrived({ batch, parcel, isReturned }: Sent): void {
    if (isReturned) batch.returned.push(parcel);
    batch.left -= 1;
    if (batch.left > 0 || batch.over) return;
    batch.over = true;
    batch.resolve(batch.returned);
  }

  #refused({ batch, parcel }: Sent): void {
    fail(
      batch,
      new WaybillError(
        "TRANSPORT_FAILED",
        `RabbitMQ did not store ${parcel.options.messageId ?? "a message"} for "${parcel.way.key}": its queue is full or has no leader. Send it again.`,
        { retryable: true },
      ),
    );
  }

  /** Comes before the confirmation of the same message, and of two alike in the order of sending. */
  #returned({ fields, properties }: Message): void {
    for (const sent of this.#sent.values()) {
      const { way, options } = sent.parcel;
      if (
        !sent.isReturned &&
        options.messageId === properties.messageId &&
        way.key === fields.routingKey &&
        way.exchange === fields.exchange
      ) {
        sent.isReturned = true;
        return;
      }
    }
  }

  #sweepLate(): void {
    this.#sweep = undefined;
    const { environment, settings } = this.#parts;
    const now = environment.clock.monotonic();
    for (const { batch } of [...this.#sent.values(), ...this.#waiting]) {
      if (batch.over || batch.deadline > now) continue;
      fail(
        batch,
        new WaybillError(
          "TRANSPORT_FAILED",
          `RabbitMQ at ${settings.shownUrl} did not confirm within ${settings.sendTimeoutMs} ms. The message may have arrived or not; send it again with the same id.`,
          { retryable: true },
        ),
      );
    }
    this.#waiting = this.#waiting.filter((sent) => {
      if (sent.batch.over) this.#release(sent);
      return !sent.batch.over;
    });
    if (this.#messages > 0) this.#sweep = environment.timers.set(() => this.#sweepLate(), sweepMs);
  }

  #release({ parcel }: Sent): void {
    this.#messages -= 1;
    this.#bytes -= parcel.content.byteLength;
  }

  #fits(messages: number, bytes: number): boolean {
    const { bufferMessagesMax, bufferBytesMax } = this.#parts.settings;
    if (this.#messages === 0) return true;
    return this.#messages + messages <= bufferMessagesMax && this.#bytes + bytes <= bufferBytesMax;
  }

  #fullError(): WaybillError {
    return new WaybillError(
      "BUFFER_FULL",
      `${this.#messages} messages (${this.#bytes} bytes) wait for RabbitMQ to confirm them, and no more are taken. Send more slowly, or raise rabbitmq({ bufferMessagesMax, bufferBytesMax }).`,
      { retryable: true },
    );
  }
}

function goneError(exchange: string): WaybillError {
  return new WaybillError("UNROUTABLE", `RabbitMQ has no exchange "${exchange}" any more.`);
}

function fail(batch: Batch, error: WaybillError): void {
  if (batch.over) return;
  batch.over = true;
  batch.reject(error);
}
