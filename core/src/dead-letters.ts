import type { Codec } from "./codec.ts";
import { WaybillError } from "./errors.ts";
import type { Inspection, ListQuery, MessageState, StoredMessage } from "./ports/transport.ts";

export interface AsideQuery {
  /** As `addressOf` writes it: `queue`, `topic/subscription`, `stream@group`, `topic/` for events nobody subscribed to. All when absent. */
  readonly address?: string;
  /** 1 to 1,000. Default 100. */
  readonly limit?: number;
  /** Handle of the last message of the page before. */
  readonly after?: string;
}

/** Messages that were set aside, and what a person can do with them. */
export class AsideMessages {
  readonly #inspection: Inspection;
  readonly #state: MessageState;
  readonly #codec: Codec;

  constructor(inspection: Inspection, codec: Codec, state: "dead" | "deferred") {
    this.#inspection = inspection;
    this.#codec = codec;
    this.#state = state;
  }

  /** What the body says, by the codec of the bus and not validated. Throws what the codec throws: a body that cannot be read may be why it is here. */
  read(message: StoredMessage): unknown {
    return this.#codec.decode(message.envelope.body);
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
    return this.#inspection.list(listed);
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

  /** Puts them back where they came from, attempts at zero. Answers how many were there. */
  replay(handles: readonly string[]): Promise<number> {
    return this.#inspection.replay(handles);
  }

  /** Deletes them for good. Answers how many were there. */
  discard(handles: readonly string[]): Promise<number> {
    return this.#inspection.discard(handles);
  }
}
