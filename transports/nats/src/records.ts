import { type Environment, WaybillError, sleep } from "@waybill/core";
import { JetStreamApiError } from "@nats-io/jetstream";
import { headers as newHeaders } from "@nats-io/transport-node";
import { brokerError, isMissing } from "./errors.ts";
import type { Link } from "./link.ts";

export interface RecordsParts {
  readonly link: Link;
  readonly environment: Environment;
  /** The stream in which every record is the last message of its subject. */
  readonly stream: string;
}

/** A record as it is stored. */
export interface Stored {
  readonly text: string;
  /** Changes with every write. */
  readonly revision: number;
  /** When it was written, milliseconds since 1970 on the server's clock. */
  readonly at: number;
}

export interface Write {
  readonly text: string;
  /** The revision that it replaces, 0 where there must be none; absent: whatever there is. */
  readonly expected?: number;
  /** Milliseconds after which nothing more is tried. Default 8,000. */
  readonly patienceMs?: number;
}

interface Answer {
  readonly seq: number;
  readonly error?: {
    readonly code: number;
    readonly err_code: number;
    readonly description: string;
  };
}

const attemptMs = 2_000;
const pauseMs = 100;
/** Less than the stream's window of duplicates, so that what is written again for want of an answer is written once. */
const patienceDefaultMs = 8_000;
export const recordsWindowMs = 20_000;
/** https://github.com/nats-io/nats-server/blob/main/server/errors.json: "wrong last sequence". */
const wrongRevision = 10_071;

/** Small records that several processes write: one wins, and the others are told. */
export class Records {
  readonly #parts: RecordsParts;

  constructor(parts: RecordsParts) {
    this.#parts = parts;
  }

  async get(subject: string): Promise<Stored | undefined> {
    const { link, stream } = this.#parts;
    try {
      const found = await link.jetstream.streams.getMessage(stream, { last_by_subj: subject });
      if (found === null) return undefined;
      return { text: found.string(), revision: found.seq, at: found.time.getTime() };
    } catch (thrown) {
      if (isMissing(thrown)) return undefined;
      throw brokerError(`Reading "${subject}"`, thrown);
    }
  }

  /** The new revision; undefined when somebody wrote in between. Rejects when nothing answers for some seconds: then nobody knows. */
  async put(subject: string, write: Write): Promise<number | undefined> {
    const { link, environment } = this.#parts;
    const { text, expected, patienceMs = patienceDefaultMs } = write;
    const headers = newHeaders();
    headers.set("Nats-Msg-Id", environment.id());
    if (expected !== undefined)
      headers.set("Nats-Expected-Last-Subject-Sequence", String(expected));
    const end = environment.clock.monotonic() + patienceMs;
    for (;;) {
      try {
        const message = await link.connection.request(subject, text, {
          headers,
          timeout: Math.min(attemptMs, patienceMs),
        });
        const { seq, error } = message.json<Answer>();
        if (error === undefined) return seq;
        if (error.err_code === wrongRevision) return undefined;
        throw new JetStreamApiError(error);
      } catch (thrown) {
        const error = brokerError(`Writing "${subject}"`, thrown);
        if (!error.retryable || environment.clock.monotonic() >= end) throw error;
      }
      await sleep(environment.timers, pauseMs);
    }
  }

  /** Subjects that have a record and fit the filter. */
  async subjects(filter: string): Promise<readonly string[]> {
    const { link, stream } = this.#parts;
    try {
      const info = await link.jetstream.streams.info(stream, { subjects_filter: filter });
      return Object.keys(info.state.subjects ?? {});
    } catch (thrown) {
      if (isMissing(thrown)) return [];
      throw brokerError(`Looking for "${filter}"`, thrown);
    }
  }

  /** Removes that revision and no later one. */
  async remove({ revision }: Pick<Stored, "revision">): Promise<void> {
    const { link, stream } = this.#parts;
    await link.jetstream.streams.deleteMessage(stream, revision, false).catch((cause: unknown) => {
      if (cause instanceof JetStreamApiError) return false;
      throw new WaybillError("TRANSPORT_FAILED", "A record could not be removed.", {
        cause,
        retryable: true,
      });
    });
  }
}
