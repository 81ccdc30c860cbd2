import { type Environment, type Timer, WaybillError } from "@waybill/core";
import type { Channel, ConsumeMessage } from "amqplib";
import { whileOpen } from "./ending.ts";
import { KeptChannel, plainChannel } from "./kept-channel.ts";
import { type Link, closedError } from "./link.ts";
import { offsetOf } from "./message.ts";
import type { Parcel } from "./publisher.ts";

export interface SharedLogParts {
  /** A stream of RabbitMQ, which is there. */
  readonly queue: string;
  readonly link: Link;
  readonly environment: Environment;
  /** Resolves when the broker has confirmed. */
  readonly send: (parcel: Parcel) => Promise<void>;
  /** Every entry of every process, in the one order of the log. An entry may come twice. */
  readonly take: (entry: Entry, at: EntryPlace) => void;
  readonly fault: (error: WaybillError) => void;
}

/** What was appended: JSON. */
export type Entry = Readonly<Record<string, unknown>>;

export interface EntryPlace {
  readonly offset: number;
  /** Entries before it were removed unread: it is the first, or the reader was away too long. */
  readonly afterGap: boolean;
  readonly bytes: number;
}

/** Entries that are under way to us at the same time. */
const prefetch = 1_000;
/** RabbitMQ counts one offset for itself where it begins a new segment. */
const hole = 1;
/** How long an entry may take until it is read back. */
const patienceMs = 15_000;

interface Awaited {
  readonly resolve: () => void;
  readonly reject: (error: WaybillError) => void;
  readonly timer: Timer;
}

/**
 * A log that many processes write and each reads as a whole, in one and the same order. Who appends waits until it has read the entry back, and with it
 * everything that stands before it.
 */
export class SharedLog {
  readonly #parts: SharedLogParts;
  readonly #kept: KeptChannel<Channel>;
  readonly #writer: string;
  readonly #awaited = new Map<string, Awaited>();
  #appended = 0;
  #next: number | undefined;
  #closed = false;

  constructor(parts: SharedLogParts) {
    this.#parts = parts;
    this.#writer = parts.environment.id();
    const { link, environment, fault } = parts;
    this.#kept = new KeptChannel<Channel>({
      doing: `Reading "${parts.queue}"`,
      link,
      environment,
      fault,
      open: plainChannel,
      ready: (channel) => this.#read(channel),
      lost: () => undefined,
    });
    this.#kept.start();
  }

  /** Resolves when this entry and all before it were read. Rejects with TRANSPORT_FAILED when it was not in time: it may be there or not. */
  append(entry: Entry): Promise<void> {
    if (this.#closed) return Promise.reject(closedError());
    const { queue, environment, send } = this.#parts;
    const mark = `${this.#writer}:${this.#appended++}`;
    return new Promise<void>((resolve, reject) => {
      const timer = environment.timers.set(() => this.#fail(mark, lateError(queue)), patienceMs);
      this.#awaited.set(mark, { resolve, reject, timer });
      const content = Buffer.from(JSON.stringify({ ...entry, mark }));
      const options = { persistent: true, mandatory: true, contentType: "application/json" };
      send({ way: { exchange: "", key: queue }, content, options }).catch((error: unknown) => {
        const cause = error instanceof WaybillError ? error : lateError(queue);
        this.#fail(mark, cause);
      });
    });
  }

  /** Resolves when everything that was appended before, by anybody, was read. */
  sync(): Promise<void> {
    return this.append({});
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const mark of this.#awaited.keys()) this.#fail(mark, closedError());
    await this.#kept.close();
  }

  async #read(channel: Channel): Promise<void> {
    const from = this.#next;
    const isForgotten = from !== undefined && (await this.#oldest(channel)) > from + hole;
    await channel.prefetch(prefetch);
    let isFirst = true;
    const take = (message: ConsumeMessage | null): void => {
      // The server ended the consumer: the queue was deleted, or moves. Another channel tries again.
      if (message === null) return void channel.close().catch(() => undefined);
      const offset = offsetOf(message);
      // It was faster forgotten than read, or so it seems: the next channel looks at what is there.
      if (!isFirst && offset > (this.#next ?? 0) + hole)
        return void channel.close().catch(() => undefined);
      const afterGap = isFirst && (isForgotten || (from === undefined && offset > 0));
      isFirst = false;
      this.#take(message, { offset, afterGap });
      channel.ack(message);
    };
    await channel.consume(this.#parts.queue, take, {
      arguments: { "x-stream-offset": from ?? "first" },
    });
  }

  /** Offset of the first entry that is kept. One was read before, so there is one. */
  async #oldest(channel: Channel): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    await channel.prefetch(1);
    const { consumerTag } = await channel.consume(
      this.#parts.queue,
      (message) => resolve(message === null ? 0 : offsetOf(message)),
      { arguments: { "x-stream-offset": "first" } },
    );
    const oldest = await whileOpen(channel, promise);
    await channel.cancel(consumerTag);
    return oldest;
  }

  #take(message: ConsumeMessage, { offset, afterGap }: Omit<EntryPlace, "bytes">): void {
    if (this.#next !== undefined && offset < this.#next) return;
    this.#next = offset + 1;
    const entry = entryOf(message.content);
    this.#parts.take(entry, { offset, afterGap, bytes: message.content.byteLength });
    const { mark } = entry;
    if (typeof mark !== "string") return;
    const awaited = this.#awaited.get(mark);
    this.#awaited.delete(mark);
    awaited?.timer.cancel();
    awaited?.resolve();
  }

  #fail(mark: string, error: WaybillError): void {
    const awaited = this.#awaited.get(mark);
    this.#awaited.delete(mark);
    awaited?.timer.cancel();
    awaited?.reject(error);
  }
}

/** What cannot be read says nothing. */
function entryOf(content: Buffer): Entry {
  try {
    const read: unknown = JSON.parse(content.toString("utf8"));
    return typeof read === "object" && read !== null ? (read as Entry) : {};
  } catch {
    return {};
  }
}

function lateError(queue: string): WaybillError {
  return new WaybillError(
    "TRANSPORT_FAILED",
    `RabbitMQ did not store an entry of "${queue}" in time. Waybill tries again by itself.`,
    { retryable: true },
  );
}
