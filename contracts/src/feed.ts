import { type AnySchema, type Contract, type VersionOptions, contractBase } from "./contract.ts";
import type { Schema, Validated } from "./schema.ts";

/** Live items of one call. Opened with `open`, served with `serve`. */
export interface Feed<
  Name extends string = string,
  Input = any,
  Item = any,
  Upstream = any,
  Cursor = any,
> extends Contract<"feed", Name> {
  readonly input: Schema<Input>;
  readonly item: Schema<Item>;
  /** What the caller sends while the feed runs; undefined for a feed that only serves. */
  readonly upstream: Schema<Upstream> | undefined;
  /** How a lost feed goes on where it was; undefined for one that ends when it is lost. */
  readonly resume: FeedResume<Item, Cursor> | undefined;
}

/** What names an item's place in its feed. Later items have greater ones: numbers as numbers, text by its code units. */
export type FeedCursor = string | number;

/** How a lost feed goes on where it was: the server is told the cursor of the last item that the caller has read. */
export interface FeedResume<Item, Cursor> {
  /** Checks the cursor that a caller hands in: text of at most 256 characters, or a finite number. */
  readonly cursor: Schema<Cursor>;
  /** The cursor of an item. Each item's is greater than that of the item before. */
  readonly of: (item: Item) => Cursor;
}

interface FeedParts<Input extends AnySchema, Item extends AnySchema> extends VersionOptions {
  readonly input: Input;
  readonly item: Item;
}

/** A feed that ends when its connection is lost. */
export interface FeedOptions<
  Input extends AnySchema,
  Item extends AnySchema,
  Upstream extends AnySchema,
> extends FeedParts<Input, Item> {
  /** Items that flow from the caller to the server while the feed is open. */
  readonly upstream?: Upstream;
  readonly resume?: undefined;
}

/** A feed that is opened again when its connection is lost. It takes no upstream items: nobody could say which of them the lost server had used. */
export interface ResumableFeedOptions<
  Input extends AnySchema,
  Item extends AnySchema,
  Cursor extends Schema<FeedCursor>,
> extends FeedParts<Input, Item> {
  readonly upstream?: undefined;
  readonly resume: FeedResume<Validated<Item>, Validated<Cursor>> & { readonly cursor: Cursor };
}

/**
 * Declares a feed: one call, many items, until either side ends it.
 *
 * @example
 * export const WatchOrder = feed("ordering.watch-order", { input: OrderId, item: OrderState });
 * export const TailOrders = feed("ordering.tail", {
 *   input: Region,
 *   item: OrderState,
 *   resume: { cursor: z.int(), of: (state) => state.revision },
 * });
 */
export function feed<
  const Name extends string,
  Input extends AnySchema,
  Item extends AnySchema,
  Cursor extends Schema<FeedCursor>,
>(
  name: Name,
  options: ResumableFeedOptions<Input, Item, Cursor>,
): Feed<Name, Validated<Input>, Validated<Item>, never, Validated<Cursor>>;
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
  [Upstream] extends [never] ? never : Validated<Upstream>,
  never
>;
export function feed(
  name: string,
  options:
    | FeedOptions<AnySchema, AnySchema, AnySchema>
    | ResumableFeedOptions<AnySchema, AnySchema, Schema<FeedCursor>>,
): Feed {
  return Object.freeze({
    ...contractBase("feed", name, options),
    input: options.input,
    item: options.item,
    upstream: options.upstream,
    resume: options.resume,
  });
}
