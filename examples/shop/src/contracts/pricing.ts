import { query } from "waybill";
import * as z from "zod";
import { Sku } from "./catalog.ts";

/** Money is a whole number of cents, everywhere. */
export const Cents = z.int().min(0).max(1_000_000_000);

export const Price = z.object({ sku: Sku, cents: Cents });
export type Price = z.infer<typeof Price>;

export const GetPrice = query("pricing.get-price", {
  input: z.object({ sku: Sku }),
  output: Price.nullable(),
});

export const ListPrices = query("pricing.list-prices", {
  input: z.object({}),
  output: z.array(Price),
});
