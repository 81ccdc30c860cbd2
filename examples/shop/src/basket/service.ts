import { deadLetter, service } from "waybill";
import type { Changes } from "../changes.ts";
import { BasketChanged, GetBasket, SetLine, WatchBasket } from "../contracts/basket.ts";
import { OrderPlaced } from "../contracts/ordering.ts";
import { GetPrice } from "../contracts/pricing.ts";
import type { Baskets } from "./data.ts";

/** Keeps what a visitor is about to buy, at the price it had when it was put there. */
export const basket = (baskets: Baskets, changes: Changes) =>
  service("basket", { asks: [GetPrice], publishes: [BasketChanged] })
    .handle(SetLine, async ({ visitor, sku, quantity }, context) => {
      if (quantity === 0) {
        baskets.removeLine(visitor, sku);
      } else {
        const price = await context.ask(GetPrice, { sku });
        if (price === null) return deadLetter(`Nothing called "${sku}" has a price.`);
        baskets.setLine(visitor, { sku, quantity, cents: price.cents });
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
    .answer(GetBasket, ({ visitor }) => baskets.find(visitor))
    .serve(WatchBasket, async function* ({ visitor }, context) {
      let seen = context.resumeFrom ?? -1;
      for await (const _ of changes.of(visitor, context.signal)) {
        const found = baskets.find(visitor);
        if (found.revision > seen) yield found;
        seen = found.revision;
      }
    });
