import { type AnySchema, type Contract, type VersionOptions, contractBase } from "./contract.ts";
import type { Schema, Validated } from "./schema.ts";

/** Live items of one call. Opened with `open`, served with `serve`. */
export interface Feed<
  Name extends string = string,
  Input = any,
  Item = any,
  Upstream = any,
> extends Contract<"feed", Name> {
  readonly input: Schema<Input>;
  readonly item: Schema<Item>;
  /** What the caller sends while the feed runs; undefined for a feed that only serves. */
  readonly upstream: Schema<Upstream> | undefined;
}

export interface FeedOptions<
  Input extends AnySchema,
  Item extends AnySchema,
  Upstream extends AnySchema,
> extends VersionOptions {
  readonly input: Input;
  readonly item: Item;
  /** Items that flow from the caller to the server while the feed is open. */
  readonly upstream?: Upstream;
}

/**
 * Declares a feed: one call, many items, until either side ends it.
 *
 * @example
 * export const WatchOrder = feed("ordering.watch-order", { input: OrderId, item: OrderState });
 */
export function feed<
  const Name extends string,
  Input extends AnySchema,
  Item extends AnySchema,
  Upstream extends AnySchema = never,
>(
  name: Name,
  options: FeedOptions<Input, Item, Upstream>,
): Feed<
  Name,
  Validated<Input>,
  Validated<Item>,
  [Upstream] extends [never] ? never : Validated<Upstream>
> {
  return Object.freeze({
    ...contractBase("feed", name, options),
    input: options.input,
    item: options.item,
    upstream: options.upstream as Schema<any> | undefined,
  });
}
