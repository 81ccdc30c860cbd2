import { command, event, query } from "waybill";
import * as z from "zod";
import { Sku } from "./catalog.ts";

/** Money is a whole number of cents, everywhere. */
export const Cents = z.int().min(0).max(1_000_000_000);

/** `version` rises by one with each change of this price. */
export const Price = z.object({ sku: Sku, cents: Cents, version: z.int().positive() });
export type Price = z.infer<typeof Price>;

/** Saying it twice changes nothing. */
export const SetPrice = command("pricing.set-price", { input: Price.omit({ version: true }) });

/** A price as it is from this version on: whoever keeps a copy needs nothing else. */
export const PriceChanged = event("pricing.price-changed", { payload: Price });

export const ListPrices = query("pricing.list-prices", {
  input: z.object({}),
  output: z.array(Price),
});
