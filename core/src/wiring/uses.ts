import type { StoreFactory } from "../ports/store.ts";
import type { ViewReader } from "../views/reader.ts";
import type { View, ViewRowOf } from "../views/view.ts";
import type { ScheduleVerbs } from "../schedules/dynamic.ts";
import type { Command, Contract, Event, Feed, Query, Stream } from "@waybill/contracts";

/** What a service says to others: the first lines of a service, and the edges of the map. */
export interface Uses {
  readonly asks?: readonly Query[];
  readonly sends?: readonly Command[];
  readonly publishes?: readonly Event[];
  readonly opens?: readonly Feed[];
  readonly appends?: readonly Stream[];
  /** Where the service keeps its own data: its handlers run in transactions of it, with outbox and inbox. */
  readonly store?: StoreFactory;
  /** Views that its handlers read, in the store of each. */
  readonly views?: readonly View[];
}

export type AnyContract = Command | Event | Query | Feed | Stream;

/** The union of the contracts in a `Uses`. Conditional types, because a missing key of an inferred type cannot be indexed. */
export type DeclaredIn<U> =
  | (U extends { readonly asks: readonly (infer Used)[] } ? Used : never)
  | (U extends { readonly sends: readonly (infer Used)[] } ? Used : never)
  | (U extends { readonly publishes: readonly (infer Used)[] } ? Used : never)
  | (U extends { readonly opens: readonly (infer Used)[] } ? Used : never)
  | (U extends { readonly appends: readonly (infer Used)[] } ? Used : never);

/** What the handlers of a service with a store get besides: its open transaction. */
export type InStore<U> = U extends { readonly store: StoreFactory<infer Client> }
  ? {
      /** The transaction in which this handler runs, of the service's own database. It ends with the handler. */
      readonly transaction: Client;
    } & ScheduleVerbs<DeclaredIn<U>>
  : unknown;

/** What the handlers of a service that reads views get besides. */
export type InViews<U> = U extends { readonly views: readonly (infer Read extends View)[] }
  ? {
      /** The rows of a view that the service declares. In a transaction of the same store they are read in it. */
      view<V extends Read>(this: void, view: V): ViewReader<ViewRowOf<V>>;
    }
  : unknown;

/** Every verb with the kind of contract it takes. */
export const useVerbs: Readonly<Record<Exclude<keyof Uses, "store" | "views">, Contract["kind"]>> =
  {
    asks: "query",
    sends: "command",
    publishes: "event",
    opens: "feed",
    appends: "stream",
  };

export function declaredIn(uses: Uses): readonly AnyContract[] {
  return [
    ...(uses.asks ?? []),
    ...(uses.sends ?? []),
    ...(uses.publishes ?? []),
    ...(uses.opens ?? []),
    ...(uses.appends ?? []),
  ];
}
