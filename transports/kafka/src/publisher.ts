import { type Environment, WaybillError } from "@waybill/core";
import { KafkaClient } from "./client.ts";
import type { Settings } from "./options.ts";
import { type Parcel, Producing, closedEarly } from "./producing.ts";

export type { Parcel } from "./producing.ts";

export interface PublisherParts {
  readonly settings: Settings;
  readonly environment: Environment;
}

interface Waiting {
  readonly parcels: readonly Parcel[];
  readonly bytes: number;
  readonly resolve: (lost: readonly Parcel[]) => void;
  readonly reject: (error: WaybillError) => void;
  readonly lost: Parcel[];
  error: WaybillError | undefined;
  left: number;
}

/** Records that one request takes. */
const batchMax = 5_000;
/** What a record costs beside its bytes, at most. */
const recordBytes = 100;

/**
 * Produces and waits until every copy in sync has it. What is sent while a batch is under way makes the next one, so that order is kept and a
 * request carries many.
 */
export class Publisher {
  readonly #parts: PublisherParts;
  readonly #client: KafkaClient;
  readonly #producing: Producing;
  readonly #closing = new AbortController();
  readonly #queue: { readonly parcel: Parcel; readonly waiting: Waiting }[] = [];
  #sending: Promise<void> | undefined;
  #messages = 0;
  #bytes = 0;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
    this.#client = new KafkaClient(parts.settings, parts.environment, { name: "producer" });
    const { signal } = this.#closing;
    this.#producing = new Producing({ ...parts, client: this.#client, signal });
  }

  /**
   * In their order. Resolves when every one is stored, with those whose topic is not there. Rejects with BUFFER_FULL, BODY_TOO_LARGE,
   * STORAGE_FULL, UNAUTHORISED, TRANSPORT_FAILED, CLOSED.
   */
  send(parcels: readonly Parcel[]): Promise<readonly Parcel[]> {
    if (parcels.length === 0) return Promise.resolve([]);
    const bytes = parcels.reduce((sum, parcel) => sum + bytesOf(parcel), 0);
    return new Promise((resolve, reject) => {
      const refusal = this.#refusal(parcels.length, bytes);
      if (refusal !== undefined) return reject(refusal);
      this.#messages += parcels.length;
      this.#bytes += bytes;
      const left = parcels.length;
      const waiting = { parcels, bytes, resolve, reject, lost: [], error: undefined, left };
      for (const parcel of parcels) this.#queue.push({ parcel, waiting });
      this.#sending ??= this.#sendAll();
    });
  }

  /** What still waits for its confirmation is given up. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#client.close().catch(() => undefined);
    await this.#sending;
  }

  #refusal(messages: number, bytes: number): WaybillError | undefined {
    if (this.#closing.signal.aborted) return closedEarly();
    const { bufferMessagesMax, bufferBytesMax } = this.#parts.settings;
    const isFull =
      this.#messages + messages > bufferMessagesMax || this.#bytes + bytes > bufferBytesMax;
    // One batch may be larger than the buffer; it then goes alone.
    if (!isFull || this.#messages === 0) return undefined;
    return new WaybillError(
      "BUFFER_FULL",
      `${this.#messages} messages wait for Kafka to confirm them. Send more slowly, or raise kafka({ bufferMessagesMax, bufferBytesMax }).`,
      { retryable: true },
    );
  }

  async #sendAll(): Promise<void> {
    // What is sent in the same breath goes together.
    await Promise.resolve();
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, this.#batchSize());
      const refused = await this.#producing.produce(batch.map(({ parcel }) => parcel));
      for (const { parcel, waiting } of batch) this.#answer(waiting, parcel, refused.get(parcel));
    }
    this.#sending = undefined;
  }

  #batchSize(): number {
    let [bytes, size] = [0, 0];
    for (const { parcel } of this.#queue) {
      bytes += bytesOf(parcel);
      // All of it may go to one partition, whose part of the request must not be larger than a record may be.
      if (size > 0 && (size >= batchMax || bytes > this.#parts.settings.messageBytesMax)) break;
      size += 1;
    }
    return size;
  }

  #answer(waiting: Waiting, parcel: Parcel, refusal: WaybillError | undefined): void {
    if (refusal?.code === "NOT_FOUND") waiting.lost.push(parcel);
    else waiting.error ??= refusal;
    waiting.left -= 1;
    if (waiting.left > 0) return;
    this.#messages -= waiting.parcels.length;
    this.#bytes -= waiting.bytes;
    if (waiting.error === undefined) waiting.resolve(waiting.lost);
    else waiting.reject(waiting.error);
  }
}

function bytesOf({ value, key, headers }: Parcel): number {
  let bytes = recordBytes + (value?.byteLength ?? 0) + (key?.byteLength ?? 0);
  for (const [name, text] of headers) bytes += name.byteLength + text.byteLength + 4;
  return bytes;
}
