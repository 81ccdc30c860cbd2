import { type Environment, WaybillError, sleep } from "@waybill/core";
import { JetStreamApiError } from "@nats-io/jetstream";
import type { Link } from "./link.ts";
import { brokerError, isMissing, isUnheard } from "./errors.ts";
import type { Written } from "./message.ts";
import type { Settings } from "./options.ts";

/** A message on its way to the stream that has its subject. */
export interface Parcel extends Written {
  readonly subject: string;
  /** What is sent again under the same id within the stream's window is stored once. */
  readonly sendId: string;
}

export interface PublisherParts {
  readonly link: Link;
  readonly settings: Settings;
  readonly environment: Environment;
}

interface Answer {
  readonly error?: {
    readonly code: number;
    readonly err_code: number;
    readonly description: string;
  };
}

const attemptMs = 5_000;
const pauseMs = 200;
const sendIdHeader = "Nats-Msg-Id";

/** Publishes and waits until JetStream says that it has stored. What goes unanswered is sent again, under its id. */
export class Publisher {
  readonly #parts: PublisherParts;
  readonly #closing = new AbortController();
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

  /** What still waits for its confirmation is given up. */
  close(): void {
    this.#closing.abort();
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
  async #sendOne(parcel: Parcel): Promise<boolean> {
    const { environment, settings } = this.#parts;
    parcel.headers.set(sendIdHeader, parcel.sendId);
    const end = environment.clock.monotonic() + settings.sendTimeoutMs;
    for (;;) {
      const leftMs = end - environment.clock.monotonic();
      try {
        return await this.#attempt(parcel, Math.max(1, Math.min(leftMs, attemptMs)));
      } catch (thrown) {
        const error = brokerError("Sending", thrown);
        if (!error.retryable || error.code !== "TRANSPORT_FAILED" || leftMs <= pauseMs) throw error;
      }
      await sleep(environment.timers, pauseMs, this.#closing.signal).catch((cause: unknown) => {
        throw new WaybillError(
          "CLOSED",
          "The bus was closed before NATS had confirmed what was sent.",
          {
            cause,
          },
        );
      });
    }
  }

  async #attempt({ subject, data, headers }: Parcel, timeout: number): Promise<boolean> {
    const { connection } = this.#parts.link;
    try {
      const { error } = (
        await connection.request(subject, data, { headers, timeout })
      ).json<Answer>();
      if (error !== undefined) throw new JetStreamApiError(error);
      return true;
    } catch (thrown) {
      if (!isUnheard(thrown)) throw thrown;
      if (await this.#hasStream(subject)) throw thrown;
      return false;
    }
  }

  /** A stream whose server is just starting does not answer either. */
  async #hasStream(subject: string): Promise<boolean> {
    try {
      await this.#parts.link.jetstream.streams.find(subject);
      return true;
    } catch (thrown) {
      if (isMissing(thrown)) return false;
      throw thrown;
    }
  }
}
