import { WaybillError } from "../errors.ts";
import type { Store } from "../ports/store.ts";
import type { ViewReads } from "../ports/view-rows.ts";
import type { Service } from "../service.ts";
import type { Stores } from "../stores/stores.ts";
import type { Uses } from "../wiring/uses.ts";
import { ViewBell } from "./bell.ts";
import type { ViewDefinition } from "./definition.ts";
import { RowReader, type ViewReader } from "./reader.ts";

export interface OpenView {
  readonly service: Service;
  readonly definition: ViewDefinition;
  readonly store: Store;
}

/** Who reads, and in which transaction of its own store, where there is one. */
export interface ViewReading {
  readonly service: string;
  readonly rows: ViewReads | undefined;
}

/** The views that the connected services are or read, with their stores. */
export class OpenViews {
  /** Tells who waits for a view in this process. */
  readonly bell: ViewBell = new ViewBell();
  /** Those that this process keeps. */
  readonly kept: readonly OpenView[];
  readonly #stores: Stores;
  /** By reader and view. */
  readonly #read: ReadonlyMap<string, OpenView>;

  constructor(services: readonly Service[], stores: Stores) {
    this.#stores = stores;
    this.kept = services.flatMap((service) => this.#opened(service));
    this.#read = new Map(
      services.flatMap(({ name, uses }) =>
        ((uses as Uses).views ?? []).flatMap((view) =>
          this.#opened(view).map((open) => [`${name} ${view.name}`, open] as const),
        ),
      ),
    );
  }

  /** What is read must be there before the first message comes. */
  async declare(): Promise<void> {
    for (const { service, store } of this.kept) await store.views.declare(service.name);
  }

  /** One that is kept here or read here. Error: NOT_FOUND. */
  find(name: string): OpenView {
    const open = [...this.kept, ...this.#read.values()].find(
      ({ service }) => service.name === name,
    );
    if (open !== undefined) return open;
    throw new WaybillError(
      "NOT_FOUND",
      `No connected service is the view "${name}" or reads it. Pass it in connect({ services }), or name it in a service's views.`,
    );
  }

  /** Error: CONTRACT_NOT_DECLARED. */
  reader(name: string, { service, rows }: ViewReading): ViewReader {
    const open = this.#read.get(`${service} ${name}`);
    if (open === undefined)
      throw new WaybillError(
        "CONTRACT_NOT_DECLARED",
        `Service "${service}" does not declare the view "${name}". Add it: service("${service}", { views: [...] }).`,
      );
    const isOwn = rows !== undefined && this.#stores.of(service) === open.store;
    return new RowReader(open.definition, isOwn ? rows : open.store.views);
  }

  #opened(service: Service): readonly OpenView[] {
    const { view: definition, uses } = service;
    const { store: factory } = uses as Uses;
    if (definition === undefined || factory === undefined) return [];
    return [{ service, definition, store: this.#stores.opened(factory).store }];
  }
}
