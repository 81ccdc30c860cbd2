import { service } from "waybill";
import { ChangeProduct, ListProducts, ProductChanged } from "../contracts/catalog.ts";
import type { Products } from "./data.ts";

/** Knows what the shop sells. */
export const catalog = (products: Products) =>
  service("catalog", { publishes: [ProductChanged] })
    .handle(ChangeProduct, async (details, context) => {
      // What is stored, whether or not this changed it: who died before saying so says it now.
      await context.publish(ProductChanged, products.change(details));
    })
    .answer(ListProducts, () => products.list());
