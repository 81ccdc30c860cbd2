import { service } from "waybill";
import { GetPrice, ListPrices } from "../contracts/pricing.ts";
import type { Prices } from "./data.ts";

/** Knows what things cost today. */
export const pricing = (prices: Prices) =>
  service("pricing")
    .answer(GetPrice, ({ sku }) => prices.find(sku))
    .answer(ListPrices, () => prices.list());
