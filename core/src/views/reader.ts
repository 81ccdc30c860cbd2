import { WaybillError } from "../errors.ts";
import type { ViewReads, ViewRow } from "../ports/view-rows.ts";
import type { ViewDefinition } from "./definition.ts";
import { readRow } from "./record.ts";

export interface ViewQuery<State = unknown> {
  /** Only rows behind this key: `next` of the page before. */
  readonly after?: string;
  /** Most rows, 1 to 1,000. Default 100. */
  readonly limit?: number;
  /** Only rows for which it is true. It is asked row by row, up to 10,000 of them for a page, so a page may have fewer rows and still a `next`. */
  readonly where?: (row: State, key: string) => boolean;
}

export interface ViewPageOf<State> {
  /** In the order of keys. */
  readonly rows: readonly { readonly key: string; readonly row: State }[];
  /** For the next page; undefined at the end. */
  readonly next: string | undefined;
}

/** Reads of one view, from its store alone. */
export interface ViewReader<State = unknown> {
  /** Undefined where there is none. Error: STATE_INVALID where what is stored does not fit. */
  get(key: string): Promise<State | undefined>;
  /** Errors: OPTION_INVALID, STATE_INVALID. */
  list(query?: ViewQuery<State>): Promise<ViewPageOf<State>>;
}

const limitMost = 1_000;
const scanMax = 10_000;

export class RowReader<State> implements ViewReader<State> {
  readonly #definition: ViewDefinition;
  readonly #reads: ViewReads;

  constructor(definition: ViewDefinition, reads: ViewReads) {
    this.#definition = definition;
    this.#reads = reads;
  }

  async get(key: string): Promise<State | undefined> {
    const row = await this.#reads.find({ view: this.#definition.name, key });
    return row === undefined ? undefined : this.#stateOf(row);
  }

  async list(query: ViewQuery<State> = {}): Promise<ViewPageOf<State>> {
    const { limit = 100, where } = query;
    if (!Number.isSafeInteger(limit) || limit < 1 || limit > limitMost)
      throw new WaybillError(
        "OPTION_INVALID",
        `The limit of a list of rows is ${String(limit)}; give a whole number from 1 to ${limitMost}.`,
      );
    const size = where === undefined ? limit : limitMost;
    const found: { key: string; row: State }[] = [];
    let { after } = query;
    for (let scanned = 0; scanned < scanMax; scanned += size) {
      const page = {
        view: this.#definition.name,
        limit: size,
        ...(after !== undefined && { after }),
      };
      const rows = await this.#reads.list(page);
      for (const each of rows) {
        const row = await this.#stateOf(each);
        after = each.key;
        if (where === undefined || where(row, each.key)) found.push({ key: each.key, row });
        if (found.length === limit) return { rows: found, next: after };
      }
      if (rows.length < size) return { rows: found, next: undefined };
    }
    return { rows: found, next: after };
  }

  async #stateOf(row: ViewRow): Promise<State> {
    return (await readRow(this.#definition, row)).state as State;
  }
}
