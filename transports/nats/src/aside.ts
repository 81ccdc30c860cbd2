import { type Envelope, type Failure, type StoredMessage, WaybillError } from "@waybill/core";
import { type AsideState, handleOf, readHandle } from "@waybill/core/adapter";
import type { StoredMsg } from "@nats-io/jetstream";
import { type DeclareParts, declareAside } from "./declare.ts";
import { brokerError, isMissing } from "./errors.ts";
import { type Extras, type Read, readMessage, writeMessage } from "./message.ts";
import type { Publisher } from "./publisher.ts";

export interface AsideParts extends DeclareParts {
  readonly publisher: Publisher;
  readonly bodyBytesMax: number;
}

/** What is set aside, and where. */
export interface Laid {
  readonly address: string;
  readonly state: AsideState;
  readonly token: string;
  readonly envelope: Envelope;
  readonly extras: Extras & { readonly failure: Failure | undefined };
  readonly sendId: string;
}

/** A dead or deferred message, read. */
export interface Found {
  readonly stored: StoredMessage;
  readonly read: Read;
  readonly stream: string;
  readonly sequence: number;
}

/** Dead and deferred messages: a stream for each address and state, in which every message has a subject of its own, by which it is found. */
export class Aside {
  readonly #parts: AsideParts;

  constructor(parts: AsideParts) {
    this.#parts = parts;
  }

  /** Resolves when it is stored. */
  async lay({ address, state, token, envelope, extras, sendId }: Laid): Promise<void> {
    const { names, publisher, bodyBytesMax } = this.#parts;
    const parcel = {
      subject: names.asideSubject(address, state, token),
      sendId,
      ...writeMessage(envelope, extras, bodyBytesMax),
    };
    if ((await publisher.send([parcel])).length === 0) return;
    await declareAside(this.#parts, address, state).catch((error: unknown) => {
      throw brokerError(`Making room for what is ${state} of "${address}"`, error);
    });
    if ((await publisher.send([parcel])).length === 0) return;
    throw new WaybillError(
      "TRANSPORT_FAILED",
      `NATS has no stream for what is ${state} of "${address}", although it was just made. Look whether somebody deletes it.`,
      { retryable: true },
    );
  }

  async find(handle: string, state: AsideState): Promise<Found | undefined> {
    const known = readHandle(handle);
    if (known === undefined) return undefined;
    const { address, token } = known;
    const subject = this.#parts.names.asideSubject(address, state, token);
    return this.#get(address, state, { last_by_subj: subject });
  }

  /** The first of an address from that sequence on. */
  async next(address: string, state: AsideState, from: number): Promise<Found | undefined> {
    return this.#get(address, state, { seq: from, next_by_subj: ">" });
  }

  /** False when somebody was faster. */
  async remove({ stream, sequence, stored }: Found): Promise<boolean> {
    try {
      return await this.#parts.link.jetstream.streams.deleteMessage(stream, sequence, false);
    } catch (thrown) {
      const error = brokerError(`Removing ${stored.handle}`, thrown);
      if ((await this.find(stored.handle, stored.state as AsideState)) === undefined) return false;
      throw error;
    }
  }

  async purge(address: string, state: AsideState): Promise<number> {
    const { link, names } = this.#parts;
    try {
      return (await link.jetstream.streams.purge(names.asideStream(address, state))).purged;
    } catch (thrown) {
      if (isMissing(thrown)) return 0;
      throw brokerError(`Purging what is ${state} of "${address}"`, thrown);
    }
  }

  async #get(
    address: string,
    state: AsideState,
    query: { last_by_subj: string } | { seq: number; next_by_subj: string },
  ): Promise<Found | undefined> {
    const { link, names } = this.#parts;
    const stream = names.asideStream(address, state);
    try {
      const message = await link.jetstream.streams.getMessage(stream, query);
      return message === null ? undefined : found(message, { address, state, stream });
    } catch (thrown) {
      if (isMissing(thrown)) return undefined;
      throw brokerError(`Looking at what is ${state} of "${address}"`, thrown);
    }
  }
}

function found(
  message: StoredMsg,
  { address, state, stream }: { address: string; state: AsideState; stream: string },
): Found {
  const token = message.subject.slice(message.subject.lastIndexOf(".") + 1);
  const handle = handleOf(address, token);
  const { data, header: headers, seq: sequence } = message;
  const read = readMessage({ data, headers }, { at: message.time.getTime(), name: handle });
  const { envelope, attempts: attempt, enqueuedAt, failure } = read;
  return {
    stream,
    sequence,
    read,
    stored: { origin: undefined, handle, address, state, envelope, attempt, enqueuedAt, failure },
  };
}
