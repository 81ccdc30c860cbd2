import { WaybillError, messageOf } from "../errors.ts";
import type { OutboxRow, Store, StoreFactory } from "../ports/store.ts";
import type { Service } from "../service.ts";
import type { Uses } from "../wiring/uses.ts";
import { within } from "../within.ts";
import { Relay, type RelayRuntime } from "./relay.ts";

/** A store as one bus has it open, with what sends its outbox. */
export interface OpenStore {
  readonly factory: StoreFactory;
  readonly store: Store;
  readonly relay: Relay;
}

/** The stores of the connected services, each opened once. */
export class Stores {
  readonly all: readonly OpenStore[];
  readonly #runtime: RelayRuntime;
  readonly #byService: ReadonlyMap<string, OpenStore>;
  readonly #waiting = new Map<Store, (nextAt: number) => void>();

  private constructor(
    opened: ReadonlyMap<StoreFactory, OpenStore>,
    services: readonly Service[],
    runtime: RelayRuntime,
  ) {
    this.all = [...opened.values()];
    this.#runtime = runtime;
    this.#byService = new Map(
      services.flatMap(({ name, uses }) => {
        const open = opened.get((uses as Uses).store as StoreFactory);
        return open === undefined ? [] : [[name, open] as const];
      }),
    );
  }

  /** After an error none is left open. */
  static async open(services: readonly Service[], runtime: RelayRuntime): Promise<Stores> {
    const opened = new Map<StoreFactory, OpenStore>();
    try {
      for (const factory of services.flatMap(storesOf))
        if (!opened.has(factory)) opened.set(factory, await openStore(factory, runtime));
    } catch (error) {
      await new Stores(opened, [], runtime).close(0);
      throw error;
    }
    return new Stores(opened, services, runtime);
  }

  /** The store of a service; undefined where it has none. */
  of(service: string): Store | undefined {
    return this.#byService.get(service)?.store;
  }

  /** In whose name it is kept there: that of its sender, or of another service with this store. */
  keeperOf(service: string, store: Store): string {
    if (this.of(service) === store) return service;
    const [first = service] = this.servicesOf(store);
    return first;
  }

  servicesOf(store: Store): readonly string[] {
    return [...this.#byService].flatMap(([name, open]) => (open.store === store ? name : []));
  }

  /** Who is told when something is kept in a store until a moment. */
  onKept(store: Store, tell: (nextAt: number) => void): void {
    this.#waiting.set(store, tell);
  }

  /** After COMMIT. */
  kept(store: Store, nextAt: number): void {
    this.#waiting.get(store)?.(nextAt);
  }

  /** Throws OPTION_INVALID for one that no connected service names. */
  opened(factory: StoreFactory): OpenStore {
    const open = this.all.find((each) => each.factory === factory);
    if (open !== undefined) return open;
    const known = this.all.map(({ store: { name } }) => name).join(", ");
    throw new WaybillError(
      "OPTION_INVALID",
      `No connected service names this store (${factory.name}); those of this bus are: ${known || "none"}. Name it: service(name, { store }).`,
    );
  }

  /** A commit was not answered: rows may be there of which nobody was told. */
  doubt(service: string): void {
    this.#byService.get(service)?.relay.doubt();
  }

  /** From now on what stands in the outboxes is sent. */
  start(): void {
    for (const { relay } of this.all) relay.start();
  }

  /** Sends what is left, for `deadlineMs` at most. */
  async flush(deadlineMs: number): Promise<void> {
    await Promise.all(this.all.map(({ relay }) => relay.close(deadlineMs)));
  }

  async close(deadlineMs: number): Promise<void> {
    await this.flush(deadlineMs);
    await Promise.all(this.all.map(({ store }) => this.#close(store)));
  }

  async #close(store: Store): Promise<void> {
    const { environment, logger } = this.#runtime;
    const closed = Promise.resolve(store[Symbol.asyncDispose]()).catch((error: unknown) => {
      logger.error(`${store.name} did not close well: ${messageOf(error)}`);
    });
    if (!(await within(environment, closed, storeMsMax)))
      logger.error(`${store.name} did not close within ${storeMsMax} ms and is left to itself.`);
  }
}

const storeMsMax = 10_000;

/** Its own, and those of the views that it reads. */
function storesOf({ uses }: Service): readonly StoreFactory[] {
  const { store, views = [] } = uses as Uses;
  return [store, ...views.map((view) => (view.uses as Uses).store)].filter(
    (factory) => factory !== undefined,
  );
}

async function openStore(factory: StoreFactory, runtime: RelayRuntime): Promise<OpenStore> {
  const { environment, logger } = runtime;
  // Nothing is committed before it is open.
  const relays: Relay[] = [];
  const committed = (rows: readonly OutboxRow[]): void => relays[0]?.committed(rows);
  const store = await factory.open({ environment, logger, committed });
  const relay = new Relay(store, factory.takeOverAfterMs, runtime);
  relays.push(relay);
  return { factory, store, relay };
}
