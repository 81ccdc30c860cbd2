import { command, event, query } from "waybill";
import * as z from "zod";

export const Sku = z.string().regex(/^[a-z][a-z-]{1,39}$/);

export const Product = z.object({
  sku: Sku,
  name: z.string(),
  description: z.string(),
  /** Rises by one with each change of this product. */
  version: z.int().positive(),
});
export type Product = z.infer<typeof Product>;

export const ListProducts = query("catalog.list-products", {
  input: z.object({}),
  output: z.array(Product),
});

export const ProductDetails = z.object({
  sku: Sku,
  name: z.string().trim().min(1).max(80),
  description: z.string().trim().max(400),
});
export type ProductDetails = z.infer<typeof ProductDetails>;

/** Changes a product, or adds one. Saying it twice changes nothing. */
export const ChangeProduct = command("catalog.change-product", { input: ProductDetails });

/** A product as it is from this version on: whoever keeps a copy needs nothing else. */
export const ProductChanged = event("catalog.product-changed", { payload: Product });
