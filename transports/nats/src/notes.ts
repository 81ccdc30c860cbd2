import { type Failure, WaybillError } from "@waybill/core";
import { failureIn, parsedJson } from "@waybill/core/adapter";
import { brokerError, isMissing } from "./errors.ts";
import { HeaderLines } from "./header-lines.ts";
import type { Link } from "./link.ts";
import { short } from "./message.ts";
import type { Publisher } from "./publisher.ts";
import type { Names } from "./topology.ts";

/** What NATS does not keep of a message that goes back: why it failed, and how many of its deliveries were no attempts. */
export interface Note {
  readonly failure?: Failure | undefined;
  /** Below zero where it ran more often than it was delivered. */
  readonly uncounted: number;
}

export interface NotesParts {
  readonly link: Link;
  readonly names: Names;
  readonly publisher: Publisher;
  readonly id: () => string;
}

/** Names a message for as long as the broker lives: a stream that was made anew begins at 1 again, but at another time. */
export interface Noted {
  readonly address: string;
  readonly sequence: number;
  readonly timestampNanos: string;
}

/** Of a message that was never here before. */
export const firstDelivery: Note = { uncounted: 0 };

/** Notes lie in a stream of their own, one for each message that went back, and leave with it. */
export class Notes {
  readonly #parts: NotesParts;

  constructor(parts: NotesParts) {
    this.#parts = parts;
  }

  /** Before a message goes back: then its next delivery finds the note. */
  async write({ address, sequence, timestampNanos }: Noted, note: Note): Promise<void> {
    const { names, publisher, id } = this.#parts;
    const failure = note.failure === undefined ? undefined : short(note.failure);
    const text = JSON.stringify({ of: timestampNanos, uncounted: note.uncounted, failure });
    const subject = names.noteSubject(address, sequence);
    const data = Buffer.from(text);
    const [lost] = await publisher.send([
      { subject, data, headers: new HeaderLines(), sendId: id() },
    ]);
    if (lost !== undefined) throw missing(names.notesStream);
  }

  async read({ address, sequence, timestampNanos }: Noted): Promise<Note> {
    const { link, names } = this.#parts;
    try {
      const subject = names.noteSubject(address, sequence);
      const query = { last_by_subj: subject };
      const stored = await link.jetstream.streams.getMessage(names.notesStream, query);
      const read = stored === null ? undefined : parsedJson(stored.string());
      if (typeof read !== "object" || read === null) return firstDelivery;
      const { of, uncounted, failure } = read as Record<string, unknown>;
      if (of !== timestampNanos) return firstDelivery;
      return {
        uncounted: typeof uncounted === "number" ? uncounted : 0,
        failure: failureIn(failure),
      };
    } catch (thrown) {
      if (isMissing(thrown)) return firstDelivery;
      throw brokerError(`Reading the note of message ${sequence} of "${address}"`, thrown);
    }
  }

  /** What it belonged to is done. One that stays behind does no harm: no other message has its name. */
  async forget(address: string, sequence: number | "*"): Promise<void> {
    const { link, names } = this.#parts;
    const filter = names.noteSubject(address, sequence);
    await link.jetstream.streams.purge(names.notesStream, { filter }).catch(() => undefined);
  }
}

function missing(stream: string): WaybillError {
  return new WaybillError(
    "TRANSPORT_FAILED",
    `The stream "${stream}" is gone, where NATS keeps why messages failed. It is made again when a process connects.`,
    { retryable: true },
  );
}
