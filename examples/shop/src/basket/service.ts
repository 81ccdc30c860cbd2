import { deadLetter, service } from "waybill";
import type { Changes } from "../changes.ts";
import { BasketChanged, GetBasket, ListGoods, SetLine, WatchBasket } from "../contracts/basket.ts";
import { OrderPlaced } from "../contracts/ordering.ts";
import type { Baskets } from "./data.ts";
import { type GoodsView, goodsOf, listGoods } from "./goods.ts";

/** Keeps what a visitor is about to buy, at the price it had when it was put there. It asks nobody: what things are and cost it knows from its own view. */
export const basket = (baskets: Baskets, goods: GoodsView, changes: Changes) =>
  service("basket", { views: [goods], publishes: [BasketChanged] })
    .handle(SetLine, async ({ visitor, sku, quantity }, context) => {
      if (quantity === 0) {
        baskets.removeLine(visitor, sku);
      } else {
        // Whoever wants it has seen it in this very view.
        const found = goodsOf(sku, await context.view(goods).get(sku));
        if (found === undefined) return deadLetter(`Nothing called "${sku}" has a price.`);
        baskets.setLine(visitor, { sku, quantity, cents: found.cents });
      }
      await context.publish(BasketChanged, { visitor });
      return undefined;
    })
    .on(OrderPlaced, async ({ visitor, orderId }, context) => {
      baskets.empty(visitor, orderId);
      await context.publish(BasketChanged, { visitor });
    })
    // Whichever process changed the basket, the feed that shows it may be another's.
    .on(BasketChanged, ({ visitor }) => changes.notify(visitor), { everyInstance: true })
    .answer(ListGoods, (_input, context) => listGoods(context.view(goods)))
    .answer(GetBasket, ({ visitor }) => baskets.find(visitor))
    .serve(WatchBasket, async function* ({ visitor }, context) {
      let seen = context.resumeFrom ?? -1;
      for await (const _ of changes.of(visitor, context.signal)) {
        const found = baskets.find(visitor);
        if (found.revision > seen) yield found;
        seen = found.revision;
      }
    });
