import type { Event, Query, Rule, Schema, Stream, Validated } from "@waybill/contracts";
import type { ItemOf, PayloadOf } from "../context.ts";
import type { StoreFactory } from "../ports/store.ts";
import { placeOutside } from "../wiring/place.ts";
import type { Binding, HandlerDefaults, Service } from "../service.ts";
import type {
  Backfill,
  BackfillContext,
  ViewContext,
  ViewContract,
  ViewDefinition,
  ViewFill,
  ViewSource,
} from "./definition.ts";
import type { Folding } from "./fold.ts";

export interface ViewOptions<State extends Schema<any>, Asks extends readonly Query[]> {
  /** Where its rows are kept: each message and what it does to its row are one transaction. */
  readonly store: StoreFactory;
  /** A row. It is validated whenever it is loaded and saved, and kept as JSON. */
  readonly state: State;
  /** What its backfill asks. */
  readonly asks?: Asks;
  /** As `connect({ handlers })`, for all sources. */
  readonly handlers?: HandlerDefaults;
}

/** How the messages of one contract reach their rows. */
interface SourceOptions<Value> {
  /**
   * A whole number that rises with each change of what `sequence` names. A message that is not newer than what its row has taken of that sequence
   * changes nothing, however late and in whatever order it comes; so a row that was removed is not brought back by what is older.
   */
  readonly version?: (value: Value) => number;
  /** Names what the versions count. Contracts that share one are ordered together. Default: the contract's name. */
  readonly sequence?: string;
  /** The rows are the same in whatever order the messages come, as with sums; for contracts without a key or a version. Default false. */
  readonly commutes?: boolean;
}

export interface ViewEventOptions<
  Value,
  Shown extends Record<string, any> = any,
> extends SourceOptions<Value> {
  /** The key of the row: text of 1 to 256 characters. */
  readonly key: (value: Value) => string;
  /** Which events to take; all when absent. */
  readonly where?: Rule<Shown>;
}

export interface ViewStreamOptions<Value> extends SourceOptions<Value> {
  /** The key of the row: text of 1 to 256 characters. Default: the key of the stream. */
  readonly key?: (value: Value) => string;
  /** Where a view that has never read begins. Default "earliest". */
  readonly start?: "earliest" | "latest";
}

type Reduced<State> = State | undefined | Promise<State | undefined>;

/** From a row and a message to the next row; undefined removes it. It may run twice for one message, so it does nothing else. */
export type ViewReducer<State, Value> = (
  row: State | undefined,
  value: Value,
  context: ViewContext,
) => Reduced<State>;

/**
 * A view is a service value: `connect({ services: [products] })`. Each binder returns a new one. A reducer answers the row as it is from now on;
 * undefined removes it.
 */
export interface View<State = any, Bound = any, Asks extends Query = any> extends Service<
  { store: StoreFactory; asks: readonly Asks[] },
  Bound
> {
  readonly view: ViewDefinition;
  /** For the compiler alone; no view has it. */
  readonly row?: State;

  /** An event that changes a row. */
  on<Name extends string, Payload, Shown extends Record<string, any>>(
    event: Event<Name, Payload, Shown>,
    options: NoInfer<ViewEventOptions<Payload, Shown>>,
    reduce: NoInfer<ViewReducer<State, Payload>>,
  ): View<State, Bound | Event<Name, Payload, Shown>, Asks>;

  /** A stream whose items change rows. */
  consume<Name extends string, Item>(
    stream: Stream<Name, Item>,
    options: NoInfer<ViewStreamOptions<Item>>,
    reduce: NoInfer<ViewReducer<State, Item>>,
  ): View<State, Bound | Stream<Name, Item>, Asks>;

  /**
   * Where a rebuild gets what came before: messages of these contracts, as if they had come, with their versions, made of what their owner
   * answers. One older than what has come meanwhile changes nothing.
   */
  backfill<const Contracts extends readonly Extract<Bound, ViewContract>[]>(
    contracts: Contracts,
    run: (context: BackfillContext<Asks>) => AsyncIterable<FillOf<Contracts[number]>>,
  ): View<State, Bound, Asks>;
}

/** What a backfill gives: `{ contract: ProductChanged, value: product }`. */
export type FillOf<C extends ViewContract> = C extends ViewContract
  ? { readonly contract: C; readonly value: C extends Event ? PayloadOf<C> : ItemOf<C> }
  : never;

/** A row of a view: what a function that its readers share names. */
export type ViewRowOf<V extends View> = V extends View<infer State, any, any> ? State : never;

/**
 * Declares a view: rows in a store that events and items of streams keep, to be read without asking their owners.
 *
 * @example
 * export const products = view("basket-products", { store, state: Product })
 *   .on(ProductChanged, { key: ({ sku }) => sku, version: ({ version }) => version }, (row, { sku, name }) => ({ ...row, sku, name }))
 *   .on(PriceChanged, { key: ({ sku }) => sku, version: ({ version }) => version }, (row, { sku, cents }) => ({ ...row, sku, cents }));
 */
export function view<
  State extends Schema<any>,
  const Asks extends readonly Query[] = readonly never[],
>(name: string, options: ViewOptions<State, Asks>): View<Validated<State>, never, Asks[number]> {
  const place = placeOutside(2);
  const { state, store, asks = [], handlers = {} } = options;
  const definition = { name, state, sources: [], backfill: undefined, place };
  return build(definition, { store, asks, handlers }) as View<any, never, any>;
}

interface BuildOptions {
  readonly store: StoreFactory;
  readonly asks: readonly Query[];
  readonly handlers: HandlerDefaults;
}

type Added = Binding["options"];
type Given = ViewEventOptions<any> & ViewStreamOptions<any>;

function build(
  definition: ViewDefinition,
  options: BuildOptions,
  added: readonly Added[] = [],
): View {
  const { name, place, sources } = definition;
  const { store, asks } = options;
  const add = (contract: ViewContract, given: Given, reduce: ViewSource["reduce"]): View => {
    const { where, start, ...rest } = Object(given) as Given;
    const source = sourceOf(contract, rest, { reduce, place: placeOutside(3) });
    const own = { ...(where !== undefined && { where }), ...(start !== undefined && { start }) };
    return build({ ...definition, sources: [...sources, source] }, options, [...added, own]);
  };
  return Object.freeze({
    name,
    uses: { store, asks },
    bindings: sources.map((source, index): Binding => ({
      verb: (source.contract as ViewContract | undefined)?.kind === "stream" ? "consume" : "on",
      contract: source.contract,
      handler: runFold,
      options: { ...handlersOf(options.handlers, source), ...added[index] },
      batch: undefined,
      place: source.place,
      view: { definition, source },
    })),
    place,
    view: definition,
    on: add,
    consume: add,
    backfill: (contracts: Backfill["contracts"], run: () => AsyncIterable<ViewFill>) =>
      build(
        { ...definition, backfill: { contracts, run, place: placeOutside(2) } },
        options,
        added,
      ),
  }) as unknown as View;
}

/** A reader of a stream has one item of a partition at a time. */
function handlersOf({ concurrency, ...others }: HandlerDefaults, { contract }: ViewSource): Added {
  const isStream = (contract as ViewContract | undefined)?.kind === "stream";
  return isStream || concurrency === undefined ? others : { ...others, concurrency };
}

function sourceOf(
  contract: ViewContract,
  { key, version, sequence, commutes = false }: Given,
  { reduce, place }: Pick<ViewSource, "reduce" | "place">,
): ViewSource {
  const { kind, name, key: contractKey } = Object(contract) as ViewContract;
  return {
    contract,
    key: key ?? (kind === "stream" ? contractKey : undefined) ?? (undefined as never),
    version,
    sequence: sequence ?? name,
    commutes,
    isRekeyed: key !== undefined,
    reduce,
    place,
  };
}

/** The handler of every binding of every view. */
function runFold(value: unknown, context: { readonly viewFold: Folding }): Promise<void> {
  return context.viewFold.run(value);
}
