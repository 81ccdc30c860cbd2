import type { Environment, WaybillError } from "@waybill/core";
import type { Channel, ConsumeMessage } from "amqplib";
import { KeptChannel, plainChannel } from "../kept-channel.ts";
import type { Link } from "../link.ts";
import { readMessage } from "../message.ts";
import type { PartitionReader } from "./reader.ts";

export interface FetchingParts {
  readonly link: Link;
  readonly environment: Environment;
  readonly queue: string;
  /** Items that come ahead of being handed over. */
  readonly ahead: number;
  readonly arrived: () => void;
  readonly fault: (error: WaybillError) => void;
}

/**
 * Brings the items of one partition to its reader, over a channel of its own: RabbitMQ may still send items of a stream when it has ended their consumer, which
 * would be the end of a channel with others on it.
 */
export class Fetching {
  readonly #parts: FetchingParts;
  readonly #reader: PartitionReader;
  readonly #kept: KeptChannel<Channel>;

  constructor(reader: PartitionReader, parts: FetchingParts) {
    this.#parts = parts;
    this.#reader = reader;
    const { link, environment, queue, fault } = parts;
    this.#kept = new KeptChannel<Channel>({
      doing: `Reading "${queue}"`,
      link,
      environment,
      fault,
      open: plainChannel,
      ready: (channel) => this.#ready(channel),
      lost: () => undefined,
    });
    this.#kept.start();
  }

  close(): Promise<void> {
    return this.#kept.close();
  }

  async #ready(channel: Channel): Promise<void> {
    await channel.prefetch(this.#parts.ahead);
    const take = (message: ConsumeMessage | null): void => {
      // The server ended the consumer: the queue was deleted, or moves. Another channel tries again.
      if (message === null) void channel.close().catch(() => undefined);
      else this.#take(channel, message);
    };
    await channel.consume(this.#parts.queue, take, {
      arguments: { "x-stream-offset": this.#reader.next },
    });
  }

  #take(channel: Channel, message: ConsumeMessage): void {
    const { environment, arrived } = this.#parts;
    const free = (): void => {
      try {
        channel.ack(message);
      } catch {
        // The channel is ending, and with it what it may send.
      }
    };
    this.#reader.take(message, readMessage(message, environment.clock.now()), free);
    arrived();
  }
}
