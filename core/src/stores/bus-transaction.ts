import type { Receipt, SendOptions, Verbs } from "../context.ts";
import { WaybillError } from "../errors.ts";
import type { Outgoing } from "../ports/transport.ts";
import type { AnyContract } from "../wiring/uses.ts";
import type { OpenStore } from "./stores.ts";

/** What `bus.transaction` gives: the database's own transaction, and the verbs that write into its outbox. */
export interface BusTransaction<Client, Declared> extends Pick<
  Verbs<Declared>,
  "send" | "publish" | "append"
> {
  readonly client: Client;
}

export type Prepare = (
  contract: AnyContract,
  value: unknown,
  options: SendOptions,
) => Outgoing | Promise<Outgoing>;

/** How long it waits for its turn. */
const waitMsMax = 10_000;

/** Runs `work` in a transaction of the store; what it sends leaves after COMMIT, or not at all. */
export async function transactOutside<Result>(
  { store, relay }: OpenStore,
  prepare: Prepare,
  work: (transaction: BusTransaction<unknown, AnyContract>) => Result | Promise<Result>,
): Promise<Result> {
  try {
    return await store.transaction(
      async (transaction) => {
        const said = new Said(prepare);
        try {
          const result = await work({ client: transaction.client, ...said.verbs });
          const held = await said.all();
          if (held.length > 0) await transaction.append(held);
          return result;
        } finally {
          said.close();
        }
      },
      { waitMsMax },
    );
  } catch (error) {
    if (error instanceof WaybillError && error.code === "COMMIT_UNKNOWN") relay.doubt();
    throw error;
  }
}

/** What one transaction says, in the order of saying. */
class Said {
  readonly verbs: Pick<Verbs<AnyContract>, "send" | "publish" | "append">;
  readonly #prepare: Prepare;
  readonly #outgoing: (Outgoing | Promise<Outgoing>)[] = [];
  #isClosed = false;

  constructor(prepare: Prepare) {
    this.#prepare = prepare;
    const say = (contract: AnyContract, value: unknown, options?: SendOptions): Promise<Receipt> =>
      this.#say(contract, value, options);
    this.verbs = { send: say, publish: say, append: say };
  }

  async all(): Promise<readonly Outgoing[]> {
    const all: Outgoing[] = [];
    for (const outgoing of this.#outgoing) all.push(await outgoing);
    return all;
  }

  close(): void {
    this.#isClosed = true;
  }

  async #say(contract: AnyContract, value: unknown, options: SendOptions = {}): Promise<Receipt> {
    if (this.#isClosed)
      throw new WaybillError(
        "CLOSED",
        `"${contract.name}" was sent after its transaction had ended. Await every send inside it.`,
      );
    const outgoing = this.#prepare(contract, value, options);
    if (outgoing instanceof Promise) outgoing.catch(() => undefined);
    this.#outgoing.push(outgoing);
    const { envelope } = await outgoing;
    return { id: envelope.header.id };
  }
}
