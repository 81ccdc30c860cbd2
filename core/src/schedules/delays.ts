import type { ScheduleRows } from "../ports/schedule-rows.ts";
import type { Store } from "../ports/store.ts";
import type { Outgoing } from "../ports/transport.ts";
import { type Runtime, runtimeOf } from "../runtime.ts";
import type { Stores } from "../stores/stores.ts";
import { keep } from "./dynamic.ts";

const kindOf = { queue: "command", topic: "event", stream: "stream" } as const;

/** What is delayed for longer than its broker holds messages waits in the store of the service that sends it. */
export class Delays {
  readonly #stores: Stores;
  readonly #runtime: Runtime;

  constructor(stores: Stores, runtime: Runtime) {
    this.#stores = stores;
    this.#runtime = runtime;
  }

  /** Messages of this service may wait as long as they like. */
  has(service: string): boolean {
    return this.#stores.of(service) !== undefined;
  }

  isBeyond({ notBefore, to }: Outgoing): boolean {
    if (notBefore === undefined) return false;
    const { transport } = runtimeOf(this.#runtime, { kind: kindOf[to.kind] });
    const now = this.#runtime.environment.clock.now();
    return notBefore - now > transport.capabilities.delayMsMax;
  }

  /** Answers what is for the broker; the rest is written. `tell` when it is committed. */
  async divide(
    batch: readonly Outgoing[],
    rows: ScheduleRows,
    store: Store,
  ): Promise<{ readonly now: readonly Outgoing[]; readonly tell: () => void }> {
    const later = batch.filter((outgoing) => this.isBeyond(outgoing));
    if (later.length === 0) return { now: batch, tell: () => undefined };
    let first = Infinity;
    for (const outgoing of later) {
      const { id, type: contract } = outgoing.envelope.header;
      const nextAt = outgoing.notBefore ?? 0;
      const plan = { text: JSON.stringify({ at: nextAt }), moments: undefined, nextAt };
      const service = this.#stores.keeperOf(senderOf(outgoing), store);
      await keep(rows, { service, id, contract, outgoing, plan });
      first = Math.min(first, nextAt);
    }
    return {
      now: batch.filter((outgoing) => !later.includes(outgoing)),
      tell: () => this.#stores.kept(store, first),
    };
  }

  /** Outside a transaction: in one of its own. Answers what is for the broker. */
  async keep(batch: readonly Outgoing[]): Promise<readonly Outgoing[]> {
    const rest: Outgoing[] = [];
    for (const outgoing of batch) {
      const store = this.isBeyond(outgoing) ? this.#stores.of(senderOf(outgoing)) : undefined;
      if (store === undefined) rest.push(outgoing);
      else {
        const { tell } = await store.transaction(({ schedules }) =>
          this.divide([outgoing], schedules, store),
        );
        tell();
      }
    }
    return rest;
  }

  /** Takes back messages by their ids. Answers how many there were. */
  async cancel(ids: readonly string[]): Promise<number> {
    let count = 0;
    for (const { store } of this.#stores.all)
      count += await store.transaction(async ({ schedules }) => {
        let removed = 0;
        for (const service of this.#stores.servicesOf(store))
          for (const name of ids) {
            const row = await schedules.load({ service, name });
            if (row?.outgoing === undefined || !(await schedules.remove(row))) continue;
            removed += 1;
          }
        return removed;
      });
    return count;
  }
}

/** The service that made it. */
export function senderOf({ envelope }: Outgoing): string {
  return envelope.header.source.slice("/services/".length);
}
