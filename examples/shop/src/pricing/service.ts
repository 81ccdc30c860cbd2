import { service } from "waybill";
import { ListPrices, PriceChanged, SetPrice } from "../contracts/pricing.ts";
import type { Prices } from "./data.ts";

/** Knows what things cost today. */
export const pricing = (prices: Prices) =>
  service("pricing", { publishes: [PriceChanged] })
    .handle(SetPrice, async (price, context) => {
      // What is stored, whether or not this changed it: who died before saying so says it now.
      await context.publish(PriceChanged, prices.set(price));
    })
    .answer(ListPrices, () => prices.list());
