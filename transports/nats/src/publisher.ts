import { WaybillError } from "@waybill/core";
import { JetStreamApiError } from "@nats-io/jetstream";
import type { Msg } from "@nats-io/transport-node";
import type { Link } from "./link.ts";
import { isMissing, isStopping, isUnheard } from "./errors.ts";
import type { Written } from "./message.ts";
import type { Patience } from "./patience.ts";
import type { Settings } from "./options.ts";
import type { Standing } from "./standing.ts";

/** A message on its way to the stream that has its subject. */
export interface Parcel extends Written {
  readonly subject: string;
  /** What is sent again under the same id within the stream's window is stored once. */
  readonly sendId: string;
  /** The stream that keeps it as long as a consumer wants it: see `Standing`. */
  readonly byInterest?: string | undefined;
}

export interface PublisherParts {
  readonly link: Link;
  readonly settings: Settings;
  readonly standing: Standing;
  readonly patience: Patience;
}

interface Answer {
  readonly error?: {
    readonly code: number;
    readonly err_code: number;
    readonly description: string;
  };
}

const attemptMs = 5_000;
const sendIdHeader = "Nats-Msg-Id";

/** Publishes and waits until JetStream says that it has stored. What goes unanswered is sent again, under its id. */
export class Publisher {
  readonly #parts: PublisherParts;
  #messages = 0;
  #bytes = 0;

  constructor(parts: PublisherParts) {
    this.#parts = parts;
  }

  /** All at once, in their order. Resolves when every one is stored; answers those whose subject no stream has. Rejects with BUFFER_FULL, STORAGE_FULL, TRANSPORT_FAILED. */
  async send<Each extends Parcel>(parcels: readonly Each[]): Promise<readonly Each[]> {
    const bytes = parcels.reduce((sum, { data }) => sum + data.byteLength, 0);
    this.#assertRoom(parcels.length, bytes);
    this.#messages += parcels.length;
    this.#bytes += bytes;
    try {
      const [only] = parcels;
      if (only !== undefined && parcels.length === 1)
        return (await this.#sendOne(only)) ? [] : parcels;
      const stored = await Promise.allSettled(parcels.map((parcel) => this.#sendOne(parcel)));
      const failed = stored.find((each) => each.status === "rejected");
      if (failed !== undefined) throw failed.reason;
      return parcels.filter((_, index) => {
        const each = stored[index];
        return each?.status === "fulfilled" && !each.value;
      });
    } finally {
      this.#messages -= parcels.length;
      this.#bytes -= bytes;
    }
  }

  #assertRoom(messages: number, bytes: number): void {
    const { bufferMessagesMax, bufferBytesMax } = this.#parts.settings;
    const isFull =
      this.#messages + messages > bufferMessagesMax || this.#bytes + bytes > bufferBytesMax;
    // One batch may be larger than the buffer; it then goes alone.
    if (!isFull || this.#messages === 0) return;
    throw new WaybillError(
      "BUFFER_FULL",
      `${this.#messages} messages wait for NATS to confirm them. Send more slowly, or raise nats({ bufferMessagesMax, bufferBytesMax }).`,
      { retryable: true },
    );
  }

  /** False when no stream has its subject. */
  #sendOne(parcel: Parcel): Promise<boolean> {
    const { patience, settings } = this.#parts;
    const end = patience.end(settings.sendTimeoutMs);
    return this.#attempt(parcel, settings.sendTimeoutMs).catch((failure: unknown) =>
      patience.again("Sending", { end, failure }, (leftMs) => this.#attempt(parcel, leftMs)),
    );
  }

  #attempt(parcel: Parcel, leftMs: number): Promise<boolean> {
    const { subject, data, sendId, byInterest } = parcel;
    const { link, standing } = this.#parts;
    const timeoutMs = Math.max(1, Math.min(leftMs, attemptMs));
    const headers = parcel.headers.with(sendIdHeader, sendId);
    const stored = link.requests
      .ask(subject, data, { headers, timeoutMs })
      .then(assertStored, (thrown: unknown) => this.#unanswered(subject, thrown));
    if (byInterest === undefined) return stored;
    return stored.then((isStored) => isStored && standing.holds(byInterest));
  }

  async #unanswered(subject: string, thrown: unknown): Promise<boolean> {
    if (!isUnheard(thrown) || (await this.#hasStream(subject))) throw thrown;
    return false;
  }

  /** A stream whose server is just starting or stopping does not answer either. */
  async #hasStream(subject: string): Promise<boolean> {
    try {
      await this.#parts.link.jetstream.streams.find(subject);
      return true;
    } catch (thrown) {
      if (isMissing(thrown)) return false;
      if (isStopping(thrown)) return true;
      throw thrown;
    }
  }
}

/** Throws when the stream refused it. */
function assertStored(answer: Msg): boolean {
  const text = answer.string();
  // What says where it is stored, and of no error, needs no closer look.
  if (text.startsWith('{"stream":') && !text.includes('"error"')) return true;
  const { error } = JSON.parse(text) as Answer;
  if (error !== undefined) throw new JetStreamApiError(error);
  return true;
}
