import { aggregate, part, service } from "waybill";
import { GetBasket, ListGoods } from "../contracts/basket.ts";
import { GetCheckout, ListOffers } from "../contracts/checkout.ts";
import { ListStock } from "../contracts/inventory.ts";
import { GetOrder } from "../contracts/ordering.ts";

/** For all questions together. Who asks the checkout waits a little longer. */
const bounds = { deadlineMs: 4_000, concurrency: 3 } as const;

/**
 * Asks several owners at once and puts their answers together. Each part says what its absence means: without the basket's there is nothing to
 * show or to sell; without the others' the shop goes on selling, and says that it does not know.
 */
export const checkout = service("checkout", { asks: [ListGoods, ListStock, GetBasket, GetOrder] })
  .answer(ListOffers, async (_input, context) => {
    const { values } = await aggregate(
      context,
      { goods: part(ListGoods, {}), stock: part(ListStock, {}, { optional: true }) },
      bounds,
    );
    const freeOf = new Map(values.stock?.map(({ sku, free }) => [sku, free]));
    const unknown = values.stock === undefined ? null : 0;
    return values.goods.map((each) => ({ ...each, free: freeOf.get(each.sku) ?? unknown }));
  })
  .answer(GetCheckout, async ({ visitor, orderId }, context) => {
    const { values, missing } = await aggregate(
      context,
      {
        basket: part(GetBasket, { visitor }),
        order: part(GetOrder, { orderId }, { optional: true }),
        stock: part(ListStock, {}, { optional: true }),
      },
      bounds,
    );
    const { lines } = values.basket;
    const freeOf = new Map(values.stock?.map(({ sku, free }) => [sku, free]));
    const short = lines.filter(({ sku, quantity }) => quantity > (freeOf.get(sku) ?? 0));
    return {
      lines,
      isPlaced: missing.order === undefined ? values.order?.visitor === visitor : null,
      short: values.stock === undefined ? null : short.map(({ sku }) => sku),
    };
  });
