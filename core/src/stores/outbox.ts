import type { Envelope } from "../envelope.ts";
import { WaybillError } from "../errors.ts";
import type { OutboxFailure } from "../ports/store.ts";
import type { Destination } from "../ports/transport.ts";
import type { OpenStore, Stores } from "./stores.ts";

/** A message that was committed and that the broker refuses. */
export interface RefusedMessage {
  /** The name of the store in whose outbox it stands. */
  readonly store: string;
  readonly key: number;
  readonly to: Destination;
  readonly envelope: Envelope;
  readonly failure: OutboxFailure;
}

export interface RefusedQuery {
  /** Most messages of each store, 1 to 1,000. Default 100. */
  readonly limit?: number;
}

/** What the services' transactions have committed and the broker refuses, over all stores of the bus. Nothing of it is lost, and nothing waits behind it. */
export class OutboxMessages {
  readonly #stores: Stores;

  constructor(stores: Stores) {
    this.#stores = stores;
  }

  /** Oldest first. */
  async refused({ limit = 100 }: RefusedQuery = {}): Promise<readonly RefusedMessage[]> {
    const lists = await Promise.all(
      this.#stores.all.map(async ({ store: { name, outbox } }) => {
        const rows = await outbox.aside({ limit });
        return rows.map(({ key, outgoing: { to, envelope }, failure }) => ({
          store: name,
          key,
          to,
          envelope,
          failure,
        }));
      }),
    );
    return lists.flat();
  }

  /** Sends them once more, behind what waits. Answers how many still stood there. */
  retry(messages: readonly RefusedMessage[]): Promise<number> {
    return this.#each(messages, async ({ store, relay }, keys) => {
      const count = await store.outbox.retry(keys);
      relay.doubt();
      return count;
    });
  }

  /** Removes them for good. Answers how many still stood there. */
  discard(messages: readonly RefusedMessage[]): Promise<number> {
    return this.#each(messages, ({ store }, keys) => store.outbox.discard(keys));
  }

  async #each(
    messages: readonly RefusedMessage[],
    act: (open: OpenStore, keys: readonly number[]) => Promise<number>,
  ): Promise<number> {
    let sum = 0;
    for (const [name, list] of Map.groupBy(messages, ({ store }) => store)) {
      const open = this.#stores.all.find(({ store }) => store.name === name);
      if (open === undefined)
        throw new WaybillError("NOT_FOUND", `No store of this bus is called "${name}".`);
      sum += await act(
        open,
        list.map(({ key }) => key),
      );
    }
    return sum;
  }
}
