import { query } from "waybill";
import * as z from "zod";

export const Sku = z.string().regex(/^[a-z][a-z-]{1,39}$/);

export const Product = z.object({
  sku: Sku,
  name: z.string(),
  description: z.string(),
});
export type Product = z.infer<typeof Product>;

export const ListProducts = query("catalog.list-products", {
  input: z.object({}),
  output: z.array(Product),
});
