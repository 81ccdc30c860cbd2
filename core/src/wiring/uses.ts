import type { Command, Contract, Event, Feed, Query, Stream } from "@waybill/contracts";

/** What a service says to others: the first lines of a service, and the edges of the map. */
export interface Uses {
  readonly asks?: readonly Query[];
  readonly sends?: readonly Command[];
  readonly publishes?: readonly Event[];
  readonly opens?: readonly Feed[];
  readonly appends?: readonly Stream[];
}

export type AnyContract = Command | Event | Query | Feed | Stream;

/** The union of the contracts in a `Uses`. Conditional types, because a missing key of an inferred type cannot be indexed. */
export type DeclaredIn<U> =
  | (U extends { readonly asks: readonly (infer Used)[] } ? Used : never)
  | (U extends { readonly sends: readonly (infer Used)[] } ? Used : never)
  | (U extends { readonly publishes: readonly (infer Used)[] } ? Used : never)
  | (U extends { readonly opens: readonly (infer Used)[] } ? Used : never)
  | (U extends { readonly appends: readonly (infer Used)[] } ? Used : never);

/** Every verb with the kind of contract it takes. */
export const useVerbs: Readonly<Record<keyof Uses, Contract["kind"]>> = {
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
