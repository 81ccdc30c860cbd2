import type { Event, Stream } from "@waybill/contracts";
import {
  Fold,
  type ValueOf,
  type View,
  type ViewBinding,
  type ViewContract,
  type ViewRow,
  type ViewRowOf,
  WaybillError,
  checkView,
  readRow,
  rowKeyOf,
} from "@waybill/core";
import { validatedCopy } from "./validated-copy.ts";

/** What one message did. */
export interface ViewPlay<State> {
  /** "stale": its row has taken something newer, and stays as it is. */
  readonly outcome: "changed" | "removed" | "stale";
  /** Of the row that it was for. */
  readonly key: string;
  /** As it is now; undefined where there is none. */
  readonly row: State | undefined;
  /** All rows, by key. */
  readonly rows: Readonly<Record<string, State>>;
}

/** A view that is played without a bus and a store: each call answers the play so far, so that it can be branched. */
export interface PlayedView<State> {
  /** A message that has come before. */
  given<C extends Event | Stream>(contract: C, value: ValueOf<C>): PlayedView<State>;
  when<C extends Event | Stream>(contract: C, value: ValueOf<C>): Promise<ViewPlay<State>>;
}

/**
 * Plays messages against a view, each as from the bus: validated, reduced, its row stored and read back.
 *
 * @example
 * const play = playView(products).given(PriceChanged, { sku: "tea", cents: 300, version: 2 });
 * const { outcome, row } = await play.when(PriceChanged, { sku: "tea", cents: 100, version: 1 });
 */
export function playView<V extends View>(view: V): PlayedView<ViewRowOf<V>> {
  checkView(view);
  return played(view, Promise.resolve(new Map()));
}

type Rows = ReadonlyMap<string, ViewRow>;

function played(view: View, world: Promise<Rows>): PlayedView<any> {
  // Whoever goes on with it sees what went wrong.
  world.catch(() => undefined);
  const play = async (contract: ViewContract, value: unknown): Promise<Played> =>
    playOne(view, await world, { contract, value });
  return {
    given: (contract, value) =>
      played(
        view,
        play(contract, value).then(({ rows }) => rows),
      ),
    when: async (contract, value) => (await play(contract, value)).play,
  };
}

interface Played {
  readonly rows: Rows;
  readonly play: ViewPlay<any>;
}

async function playOne(
  view: View,
  before: Rows,
  message: { readonly contract: ViewContract; readonly value: unknown },
): Promise<Played> {
  const binding = bindingOf(view, message.contract);
  const { contract } = message;
  const schema = contract.kind === "event" ? contract.payload : contract.item;
  const value = await validatedCopy(schema, message.value, contract.name);
  const key = rowKeyOf(binding, value);
  const fold = new Fold(binding, { key, row: before.get(key), header: undefined });
  const done = await fold.run(value);
  const after = await fold.end(0);
  const rows = after === undefined ? before : new Map(before).set(key, after);
  const all: [string, unknown][] = [];
  for (const [each, row] of rows) {
    const { state } = await readRow(view.view, row);
    if (state !== undefined) all.push([each, state]);
  }
  const row = all.find(([each]) => each === key)?.[1];
  const outcome = done === "changed" && row === undefined ? "removed" : done;
  return { rows, play: { outcome, key, row, rows: Object.fromEntries(all) } };
}

function bindingOf(view: View, contract: ViewContract): ViewBinding {
  const binding = view.bindings.find((each) => each.contract === contract)?.view;
  if (binding !== undefined) return binding;
  throw new WaybillError(
    "CONTRACT_NOT_DECLARED",
    `The view "${view.name}" takes no "${contract.name}". Bind it: on(event, …) or consume(stream, …).`,
  );
}
