import type { Command, Event, Stream } from "@waybill/contracts";
import type { Codec } from "../codec.ts";
import type { ValueOf } from "../context.ts";
import type { Body, Envelope } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import type {
  Inspection,
  ListQuery,
  PurgeState,
  Resumed,
  StoredMessage,
} from "../ports/transport.ts";
import type { Rewrite } from "./rewriting.ts";
import { inputSchema } from "../wiring/route.ts";
import { readBody } from "../steps/decode.ts";
import { validated } from "../steps/validate.ts";
import { type Wire, destinationOfAddress, destinationText, plainBody } from "../wire/wire.ts";

export interface AsideQuery {
  /** As `addressOf` writes it: `queue`, `topic/subscription`, `stream@group`, `topic/` for events nobody subscribed to. All when absent. */
  readonly address?: string;
  /** 1 to 1,000. Default 100. */
  readonly limit?: number;
  /** Handle of the last message of the page before. */
  readonly after?: string;
}

/** What looking at stored messages, and changing them, stands on. */
export interface StoredParts {
  readonly inspection: Inspection;
  readonly codec: Codec;
  /** See `Capabilities.follows`. */
  readonly follows: boolean;
  /** Seals what is changed, and opens what is read. */
  readonly wire: Wire | undefined;
  /** Another content for a message; validated where its contract is known. */
  readonly rewrite: Rewrite;
  /** Takes back what waits in stores, by its ids. Answers how many messages that were. */
  readonly cancelKept: (ids: readonly string[]) => Promise<number>;
}

/** Messages of one state, and what a person can do with them. */
export class StoredMessages {
  protected readonly parts: StoredParts;
  readonly #state: PurgeState;

  constructor(parts: StoredParts, state: PurgeState) {
    this.parts = parts;
    this.#state = state;
  }

  /** What the body says, by the codec of the bus and not validated. Throws what the codec throws, and DECODE_FAILED for a body that the wire sealed, see `open`: a body that cannot be read may be why it is here. */
  read(message: StoredMessage): unknown {
    return this.parts.codec.decode(plainBody(message.envelope));
  }

  /** As `read`, of a bus with a wire: opened first, and nothing of that counts as received. Rejects with what the wire cannot open. */
  async open(message: StoredMessage): Promise<unknown> {
    return this.parts.codec.decode(plainBody(await this.#opened(message)));
  }

  /**
   * As `open`, as a handler of that contract would get it: in its present version and validated. Errors besides: OPTION_INVALID for a
   * message of another contract, DECODE_FAILED, VERSION_UNKNOWN, MESSAGE_INVALID.
   */
  async readAs<C extends Command | Event | Stream>(
    contract: C,
    message: StoredMessage,
  ): Promise<ValueOf<C>> {
    const { type } = message.envelope.header;
    if (type !== contract.name) {
      throw new WaybillError(
        "OPTION_INVALID",
        `The message ${message.handle} is a "${type}", not a "${contract.name}". Read it as what it is.`,
      );
    }
    const value = readBody(await this.#opened(message), contract, this.parts.codec);
    const naming = { contract: contract.name, what: "stored" };
    return (await validated(inputSchema(contract), value, naming)) as ValueOf<C>;
  }

  async #opened({ envelope, address, origin = address }: StoredMessage): Promise<Envelope> {
    const { wire } = this.parts;
    if (wire === undefined || wire.isPlain(envelope)) return envelope;
    const destination = destinationText(destinationOfAddress(origin));
    return wire.open(envelope, { destination, delivery: undefined });
  }

  /** Oldest first, with body and failure. */
  list(query: AsideQuery = {}): Promise<readonly StoredMessage[]> {
    const { limit = 100, address, after } = query;
    if (!Number.isInteger(limit) || limit < 1 || limit > 1_000) {
      return Promise.reject(
        new WaybillError(
          "OPTION_INVALID",
          `limit is ${String(limit)}; give a whole number from 1 to 1,000.`,
        ),
      );
    }
    const listed: ListQuery = {
      state: this.#state,
      limit,
      ...(address !== undefined && { address }),
      ...(after !== undefined && { after }),
    };
    return this.parts.inspection.list(listed);
  }

  /** Every one of them, page by page. */
  async *all(query: Pick<AsideQuery, "address"> = {}): AsyncIterable<StoredMessage> {
    let after: string | undefined;
    for (;;) {
      const page = await this.list({ ...query, limit: 500, ...(after !== undefined && { after }) });
      yield* page;
      after = page.at(-1)?.handle;
      if (after === undefined) return;
    }
  }

  /** Deletes them for good. Answers how many were there. */
  discard(handles: readonly string[]): Promise<number> {
    return this.parts.inspection.discard(handles);
  }

  /** Deletes for good all of them at one address that stood there when it began. Answers how many. Errors: NOT_FOUND, NOT_SUPPORTED. */
  purge(address: string): Promise<number> {
    return this.parts.inspection.purge(address, this.#state);
  }
}

/** Messages whose moment has not come. */
export class ScheduledMessages extends StoredMessages {
  constructor(parts: StoredParts) {
    super(parts, "scheduled");
  }

  /**
   * Takes back what was sent with `delayMs` or `at`, by the ids that `send` and `publish` answered; of an event, every subscription's copy.
   * What waits in a store, because its broker holds nothing so long, is taken back too, where no address is given. Answers how many messages that were: 0 for one that has fallen due, also while it waits for a retry. Costs a look per id, however much is scheduled.
   */
  async cancel(
    ids: readonly string[],
    { address }: Pick<AsideQuery, "address"> = {},
  ): Promise<number> {
    const kept = address === undefined ? await this.parts.cancelKept(ids) : 0;
    return kept + (await this.parts.inspection.cancel(ids, address));
  }
}

/** Messages that were set aside. */
export class AsideMessages extends StoredMessages {
  /** The one of this handle, found in an index; undefined when it is not set aside any more. */
  get(handle: string): Promise<StoredMessage | undefined> {
    return this.parts.inspection.get(handle);
  }

  /** Puts them back where they came from, attempts at zero. Answers how many were there. */
  replay(handles: readonly string[]): Promise<number> {
    return this.parts.inspection.replay(handles);
  }

  /**
   * Sends it again with another value: validated by its contract where the bus knows it, stored as a new message of the same conversation
   * whose header names the old id (`replacesid`); the old one is deleted in the same step. Answers the new id, or undefined when the message
   * was not there any more. Errors: MESSAGE_INVALID, BODY_TOO_LARGE, STORAGE_FULL.
   */
  async edit(message: StoredMessage, value: unknown): Promise<string | undefined> {
    return this.#replace(message, await this.parts.rewrite(message.envelope, { value }));
  }

  /** As `edit`, with the bytes of the body as they are to travel. Nothing is validated before the handler does. */
  async editBody(message: StoredMessage, body: Body): Promise<string | undefined> {
    return this.#replace(message, await this.parts.rewrite(message.envelope, { body }));
  }

  async #replace(
    { handle, address, origin = address }: StoredMessage,
    envelope: Envelope,
  ): Promise<string | undefined> {
    const { wire, inspection } = this.parts;
    const to = destinationOfAddress(origin);
    const sealed = wire === undefined ? envelope : (await wire.seal({ to, envelope })).envelope;
    const replaced = await inspection.replace(handle, sealed);
    return replaced ? envelope.header.id : undefined;
  }
}

/** Messages that their handlers have deferred. */
export class DeferredMessages extends AsideMessages {
  constructor(parts: StoredParts) {
    super(parts, "deferred");
  }

  /**
   * Gives one back to its handler, by the handle that the deferring handler had as `context.handle`: as the attempt that deferred it, so that deferring
   * costs none, and in front of what was sent after it, in the order of its key too. Answers `resumed`; or, when nothing changed, where
   * it is: `waiting` (also while its deferring handler has not ended: try again), `dead` or `gone`. What is deferred is found in an index.
   */
  resume(handle: string): Promise<Resumed> {
    return this.parts.inspection.resumeDeferred(handle);
  }
}
