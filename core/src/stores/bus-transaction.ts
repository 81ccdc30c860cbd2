import type { Receipt, SendOptions, Verbs } from "../context.ts";
import { WaybillError } from "../errors.ts";
import type { Outgoing } from "../ports/transport.ts";
import type { AnyContract } from "../wiring/uses.ts";
import type { ScheduleRows } from "../ports/schedule-rows.ts";
import { type Delays, senderOf } from "../schedules/delays.ts";
import {
  type ScheduleVerbs,
  type ScheduleWhen,
  cancelIn,
  checkScheduleId,
  keep,
  planOf,
} from "../schedules/dynamic.ts";
import type { OpenStore, Stores } from "./stores.ts";

/** What `bus.transaction` gives: the database's own transaction, and the verbs that write into its outbox. */
export interface BusTransaction<Client, Declared>
  extends Pick<Verbs<Declared>, "send" | "publish" | "append">, ScheduleVerbs<Declared> {
  readonly client: Client;
}

export type Prepare = (
  contract: AnyContract,
  value: unknown,
  options: SendOptions,
) => Outgoing | Promise<Outgoing>;

/** How long it waits for its turn. */
const waitMsMax = 10_000;

interface Outside {
  readonly open: OpenStore;
  readonly prepare: Prepare;
  readonly stores: Stores;
  readonly delays: Delays;
  readonly now: () => number;
}

/** Runs `work` in a transaction of the store; what it sends leaves after COMMIT, or not at all. */
export async function transactOutside<Result>(
  outside: Outside,
  work: (transaction: BusTransaction<unknown, AnyContract>) => Result | Promise<Result>,
): Promise<Result> {
  const { store, relay } = outside.open;
  let tell: (() => void) | undefined;
  try {
    const result = await store.transaction(
      async (transaction) => {
        const said = new Said(outside, transaction.schedules);
        try {
          const done = await work({ client: transaction.client, ...said.verbs });
          const held = await said.all();
          const { keptAt } = said;
          const divided = await outside.delays.divide(held, transaction.schedules, store);
          if (divided.now.length > 0) await transaction.append(divided.now);
          tell = () => {
            divided.tell();
            if (keptAt !== undefined) outside.stores.kept(store, keptAt);
          };
          return done;
        } finally {
          said.close();
        }
      },
      { waitMsMax },
    );
    tell?.();
    return result;
  } catch (error) {
    if (error instanceof WaybillError && error.code === "COMMIT_UNKNOWN") relay.doubt();
    throw error;
  }
}

/** What one transaction says, in the order of saying. */
class Said {
  readonly verbs: Omit<BusTransaction<unknown, AnyContract>, "client">;
  readonly #outside: Outside;
  readonly #rows: ScheduleRows;
  readonly #outgoing: (Outgoing | Promise<Outgoing>)[] = [];
  readonly #scheduling: Promise<unknown>[] = [];
  #isClosed = false;
  /** When the first of those is due that it has scheduled. */
  keptAt: number | undefined;

  constructor(outside: Outside, rows: ScheduleRows) {
    this.#outside = outside;
    this.#rows = rows;
    const say = (contract: AnyContract, value: unknown, options?: SendOptions): Promise<Receipt> =>
      this.#say(contract, value, options);
    this.verbs = {
      send: say,
      publish: say,
      append: say,
      schedule: (contract, value, when) => this.#watch(this.#schedule(contract, value, when)),
      cancelSchedule: (id) => this.#watch(this.#cancel(id)),
    };
  }

  async all(): Promise<readonly Outgoing[]> {
    const all: Outgoing[] = [];
    for (const outgoing of this.#outgoing) all.push(await outgoing);
    for (const scheduling of this.#scheduling) await scheduling;
    return all;
  }

  close(): void {
    this.#isClosed = true;
  }

  async #say(contract: AnyContract, value: unknown, options: SendOptions = {}): Promise<Receipt> {
    this.#check(contract.name);
    const outgoing = this.#outside.prepare(contract, value, options);
    if (outgoing instanceof Promise) outgoing.catch(() => undefined);
    this.#outgoing.push(outgoing);
    const { envelope } = await outgoing;
    return { id: envelope.header.id };
  }

  async #schedule(contract: AnyContract, value: unknown, when: ScheduleWhen): Promise<Receipt> {
    this.#check(contract.name);
    const { prepare, stores, open, now } = this.#outside;
    const plan = planOf(when, now());
    const { id } = when;
    const outgoing = await prepare(contract, value, { id });
    const service = stores.keeperOf(senderOf(outgoing), open.store);
    await keep(this.#rows, { service, id, contract: contract.name, outgoing, plan });
    this.keptAt = Math.min(this.keptAt ?? Infinity, plan.nextAt ?? Infinity);
    return { id };
  }

  async #cancel(id: string): Promise<boolean> {
    this.#check(id);
    checkScheduleId(id);
    const { stores, open } = this.#outside;
    for (const service of stores.servicesOf(open.store))
      if (await cancelIn(this.#rows, { service, name: id })) return true;
    return false;
  }

  #watch<Value>(work: Promise<Value>): Promise<Value> {
    work.catch(() => undefined);
    this.#scheduling.push(work);
    return work;
  }

  #check(name: string): void {
    if (!this.#isClosed) return;
    throw new WaybillError(
      "CLOSED",
      `"${name}" was sent after its transaction had ended. Await every send inside it.`,
    );
  }
}
