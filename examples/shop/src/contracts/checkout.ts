import { query } from "waybill";
import * as z from "zod";
import { Goods, Line, Visitor } from "./basket.ts";
import { Sku } from "./catalog.ts";
import { OrderId } from "./ordering.ts";

/** Goods, and how many of them are free; null where inventory did not say so in time. */
export const Offer = Goods.extend({ free: z.int().nullable() });

/** What the shop has to offer now. */
export const ListOffers = query("checkout.list-offers", {
  input: z.object({}),
  output: z.array(Offer),
});

/** What has to be known when a visitor wants to order. */
export const GetCheckout = query("checkout.get-checkout", {
  input: z.object({ visitor: Visitor, orderId: OrderId }),
  output: z.object({
    lines: z.array(Line),
    /** Whether the visitor has placed this order already; null where ordering did not say so in time. */
    isPlaced: z.boolean().nullable(),
    /** Of what there is less than the visitor wants; null where inventory did not say so in time. */
    short: z.array(Sku).nullable(),
  }),
});
