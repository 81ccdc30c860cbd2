import { type ViewReader, type ViewRowOf, view } from "waybill";
import type { SqliteStoreFactory } from "@waybill/sqlite";
import * as z from "zod";
import type { Goods } from "../contracts/basket.ts";
import { ListProducts, Product, ProductChanged } from "../contracts/catalog.ts";
import { Cents, ListPrices, PriceChanged } from "../contracts/pricing.ts";

const skuOf = (value: { readonly sku: string }): string => value.sku;
const version = (value: { readonly version: number }): number => value.version;

/**
 * The basket's own copy of what others own: it needs neither of them to answer. A change that comes twice, or after a later one of the same
 * owner, changes nothing: that is what their versions are for.
 */
export const goodsIn = (store: SqliteStoreFactory) =>
  view("basket-goods", {
    store,
    // Whichever owner speaks first makes the row.
    state: z.object({
      product: Product.omit({ sku: true, version: true }).optional(),
      cents: Cents.optional(),
    }),
    asks: [ListProducts, ListPrices],
  })
    .on(ProductChanged, { key: skuOf, version }, (row, { name, description }) => ({
      ...row,
      product: { name, description },
    }))
    .on(PriceChanged, { key: skuOf, version }, (row, { cents }) => ({ ...row, cents }))
    .backfill([ProductChanged, PriceChanged], async function* ({ ask }) {
      for (const value of await ask(ListProducts, {})) yield { contract: ProductChanged, value };
      for (const value of await ask(ListPrices, {})) yield { contract: PriceChanged, value };
    });

export type GoodsView = ReturnType<typeof goodsIn>;

/** What has both a name and a price; undefined for what nobody can buy yet. */
export function goodsOf(sku: string, row: ViewRowOf<GoodsView> | undefined): Goods | undefined {
  const { product, cents } = row ?? {};
  return product === undefined || cents === undefined ? undefined : { sku, ...product, cents };
}

/** Everything that can be bought, by its sku. */
export async function listGoods(reader: ViewReader<ViewRowOf<GoodsView>>): Promise<Goods[]> {
  const found: Goods[] = [];
  let after: string | undefined;
  do {
    const page = await reader.list({ limit: 1_000, ...(after !== undefined && { after }) });
    for (const { key, row } of page.rows) {
      const goods = goodsOf(key, row);
      if (goods !== undefined) found.push(goods);
    }
    after = page.next;
  } while (after !== undefined);
  return found;
}
