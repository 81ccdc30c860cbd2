import { service } from "waybill";
import { ChangeProduct, ListProducts, ProductChanged } from "../contracts/catalog.ts";
import type { Products } from "./data.ts";

/** Knows what the shop sells. A change and the event that tells of it are one transaction: neither is without the other, whenever a process dies. */
export const catalog = (products: Products) =>
  service("catalog", { store: products.store, publishes: [ProductChanged] })
    .handle(ChangeProduct, async (details, context) => {
      const changed = products.change(context.transaction, details);
      if (changed !== undefined) await context.publish(ProductChanged, changed);
    })
    .answer(ListProducts, () => products.list());
