import { service } from "waybill";
import { ListProducts } from "../contracts/catalog.ts";
import type { Products } from "./data.ts";

/** Knows what the shop sells. */
export const catalog = (products: Products) =>
  service("catalog").answer(ListProducts, () => products.list());
