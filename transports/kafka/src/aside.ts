import { type Envelope, type Failure, type StoredMessage, WaybillError } from "@waybill/core";
import { type AsideState, handleOf, readHandle } from "@waybill/core/adapter";
import { brokerError } from "./errors.ts";
import type { Log } from "./log.ts";
import { type Extras, type Read, type Stored, readMessage, writeMessage } from "./message.ts";
import type { Publisher } from "./publisher.ts";
import type { Registry } from "./registry.ts";
import { type Room, Shelf } from "./shelf.ts";
import { type TopicParts, type WantedTopic, ensureTopics } from "./topics.ts";
import type { Names } from "./topology.ts";

export interface AsideParts extends TopicParts {
  readonly names: Names;
  readonly log: Log;
  readonly publisher: Publisher;
  readonly registry: Registry;
  /** For where messages lie, of all addresses together. Default: 100,000 of them, 16 MiB. */
  readonly room?: Room;
}

const roomDefault: Room = { messagesMax: 100_000, bytesMax: 16 * 1024 * 1024 };
/** Tombstones that are written at a time. */
const buriedMax = 1_000;
/** Addresses at which nothing lies, and of which it is kept to where they were read. */
const shelvesMax = 1_000;

/** Where what is set aside lies. */
export function asideTopic(name: string): WantedTopic {
  return { name, partitions: 1, keeping: "latest" };
}

/** What is set aside, and where. */
export interface Laid {
  readonly address: string;
  readonly state: AsideState;
  readonly token: string;
  readonly envelope: Envelope;
  readonly extras: Extras & { readonly failure: Failure | undefined };
}

/** A dead or deferred message, read. */
export interface Found {
  readonly stored: StoredMessage;
  readonly read: Read;
  readonly token: string;
}

/**
 * Dead and deferred messages: a compacted topic for each address and state, its key is the message's token, and what leaves gets a tombstone. It is
 * made when the first message is: most addresses never need it. Who looks reads on to the end of the topic, and keeps where each message lies, as long as
 * there is room; bodies are read when they are asked for.
 */
export class Aside {
  readonly #parts: AsideParts;
  readonly #shelves = new Map<string, Shelf>();

  constructor(parts: AsideParts) {
    this.#parts = parts;
  }

  /** Resolves when it is stored. */
  async lay({ address, state, token, envelope, extras }: Laid): Promise<void> {
    const { names, publisher, registry } = this.#parts;
    const topic = names.asideTopic(address, state);
    const { value, headers } = writeMessage(envelope, extras);
    const parcel = { topic, partition: 0, key: Buffer.from(token), value, headers };
    if ((await publisher.send([parcel])).length === 0) return;
    const temporary = registry.isTemporary(address);
    await ensureTopics(this.#parts, [{ ...asideTopic(topic), temporary }]).catch(
      (error: unknown) => {
        throw brokerError(`Making room for what is ${state} of "${address}"`, error);
      },
    );
    if ((await publisher.send([parcel])).length === 0) return;
    throw new WaybillError(
      "TRANSPORT_FAILED",
      `Kafka has no topic for what is ${state} of "${address}", although it was just made. Look whether somebody deletes it.`,
      { retryable: true },
    );
  }

  async find(handle: string, state: AsideState): Promise<Found | undefined> {
    const known = readHandle(handle);
    if (known === undefined) return undefined;
    const { address, token } = known;
    const offset = await this.#look(address, state, (shelf) => shelf.find(token));
    if (offset === undefined) return undefined;
    const topic = this.#parts.names.asideTopic(address, state);
    const record = await this.#parts.log.at(topic, 0, offset);
    return record && found(record, { address, state, token });
  }

  /** Those of an address, oldest first, behind that token. */
  async list(
    address: string,
    state: AsideState,
    { after, limit }: { readonly after: string | undefined; readonly limit: number },
  ): Promise<readonly Found[]> {
    const { names, log } = this.#parts;
    const wanted = await this.#look(address, state, (shelf) => shelf.page(after, limit));
    const [first] = wanted.keys();
    const last = [...wanted.keys()].at(-1);
    if (first === undefined || last === undefined) return [];
    const listed: Found[] = [];
    const each = (record: Stored): void => {
      const token = wanted.get(record.offset);
      if (token !== undefined) listed.push(found(record, { address, state, token }));
    };
    await log.read(names.asideTopic(address, state), 0, { from: first, to: last + 1n, each });
    return listed;
  }

  /** False when somebody was faster. */
  async remove({ stored, token }: Found): Promise<boolean> {
    const { address } = stored;
    const state = stored.state as AsideState;
    const offset = await this.#look(address, state, (shelf) => shelf.find(token));
    if (offset === undefined) return false;
    await this.#bury(address, state, [token]);
    return true;
  }

  async count(address: string, state: AsideState): Promise<number> {
    return this.#look(address, state, (shelf) => shelf.count());
  }

  async purge(address: string, state: AsideState): Promise<number> {
    let purged = 0;
    for (let from: bigint | undefined = 0n; from !== undefined;) {
      const begin: bigint = from;
      const { tokens, to } = await this.#look(address, state, (shelf) => shelf.stretch(begin));
      await this.#bury(address, state, tokens);
      purged += tokens.length;
      from = to;
    }
    return purged;
  }

  /** How many messages are kept the place of now, and what that costs. */
  get kept(): { readonly messages: number; readonly bytes: number } {
    const shelves = [...this.#shelves.values()];
    return {
      messages: shelves.reduce((sum, { kept }) => sum + kept, 0),
      bytes: shelves.reduce((sum, { keptBytes }) => sum + keptBytes, 0),
    };
  }

  async #bury(address: string, state: AsideState, tokens: readonly string[]): Promise<void> {
    const { names, publisher } = this.#parts;
    const topic = names.asideTopic(address, state);
    for (let first = 0; first < tokens.length; first += buriedMax)
      await publisher.send(
        tokens.slice(first, first + buriedMax).map((token) => ({
          topic,
          partition: 0,
          key: Buffer.from(token),
          value: undefined,
          headers: new Map(),
        })),
      );
  }

  async #look<Answer>(
    address: string,
    state: AsideState,
    look: (shelf: Shelf) => Promise<Answer>,
  ): Promise<Answer> {
    const { names, log, room = roomDefault } = this.#parts;
    const topic = names.asideTopic(address, state);
    const shelf = this.#shelves.get(topic) ?? new Shelf({ log, topic, room });
    // Behind those that were looked at longer ago.
    this.#shelves.delete(topic);
    this.#shelves.set(topic, shelf);
    try {
      return await look(shelf);
    } catch (error) {
      throw brokerError(`Looking at what is ${state} of "${address}"`, error);
    } finally {
      this.#makeRoom(shelf, room);
    }
  }

  /** Forgets what was not looked at for longest: it is read again when somebody does. */
  #makeRoom(latest: Shelf, { messagesMax, bytesMax }: Room): void {
    let { messages, bytes } = this.kept;
    for (const [topic, shelf] of this.#shelves) {
      if (shelf === latest) continue;
      const isEmpty = shelf.kept === 0;
      if (!isEmpty && messages <= messagesMax && bytes <= bytesMax) continue;
      if (isEmpty && this.#shelves.size <= shelvesMax) continue;
      this.#shelves.delete(topic);
      messages -= shelf.kept;
      bytes -= shelf.keptBytes;
    }
  }
}

function found(
  record: Stored,
  { address, state, token }: { address: string; state: AsideState; token: string },
): Found {
  const read = readMessage({ ...record, key: null });
  const { envelope, attempts: attempt, enqueuedAt, failure } = read;
  const handle = handleOf(address, token);
  return {
    token,
    read,
    stored: { origin: undefined, handle, address, state, envelope, attempt, enqueuedAt, failure },
  };
}
