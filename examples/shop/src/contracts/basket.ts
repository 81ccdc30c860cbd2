import { command, event, feed, query } from "waybill";
import * as z from "zod";
import { Product, Sku } from "./catalog.ts";
import { Cents } from "./pricing.ts";

/** Who shops: an unguessable id that a browser keeps. A visitor has one basket. */
export const Visitor = z.uuid();

export const Line = z.object({ sku: Sku, quantity: z.int().min(1).max(99), cents: Cents });
export type Line = z.infer<typeof Line>;

/** `revision` counts the changes of this visitor's basket. */
export const Basket = z.object({
  visitor: Visitor,
  revision: z.int().nonnegative(),
  lines: z.array(Line),
  totalCents: Cents,
});
export type Basket = z.infer<typeof Basket>;

/** Sets how many of a product lie in the basket; 0 takes it out. Saying it twice changes nothing. Those of one visitor are handled in their order. */
export const SetLine = command("basket.set-line", {
  input: z.object({ visitor: Visitor, sku: Sku, quantity: z.int().min(0).max(99) }),
  key: ({ visitor }) => visitor,
});

/** What lies in a basket is not what it was. For whoever shows it. */
export const BasketChanged = event("basket.basket-changed", {
  payload: z.object({ visitor: Visitor }),
});

export const GetBasket = query("basket.get-basket", {
  input: z.object({ visitor: Visitor }),
  output: Basket,
});

/** The basket now, and again after each change. Goes on when the process behind it dies. */
export const WatchBasket = feed("basket.watch-basket", {
  input: z.object({ visitor: Visitor }),
  item: Basket,
  resume: { cursor: z.int().nonnegative(), of: ({ revision }) => revision },
});

/** What can be put into a basket: a product that has a price. */
export const Goods = Product.omit({ version: true }).extend({ cents: Cents });
export type Goods = z.infer<typeof Goods>;

/** Answered from the basket's own copy, so also while catalog and pricing are down. */
export const ListGoods = query("basket.list-goods", {
  input: z.object({}),
  output: z.array(Goods),
});
