import { deadLetter, service } from "waybill";
import type { Changes } from "../changes.ts";
import { GetBasket, SetLine, WatchBasket } from "../contracts/basket.ts";
import { OrderPlaced } from "../contracts/ordering.ts";
import { GetPrice } from "../contracts/pricing.ts";
import type { Baskets } from "./data.ts";

/** Keeps what a visitor is about to buy, at the price it had when it was put there. */
export const basket = (baskets: Baskets, changes: Changes) =>
  service("basket", { asks: [GetPrice] })
    .handle(
      SetLine,
      async ({ visitor, sku, quantity }, context) => {
        if (quantity === 0) {
          baskets.removeLine(visitor, sku);
        } else {
          const price = await context.ask(GetPrice, { sku });
          if (price === null) return deadLetter(`Nothing called "${sku}" has a price.`);
          baskets.setLine(visitor, { sku, quantity, cents: price.cents });
        }
        changes.notify(visitor);
        return undefined;
      },
      { orderedBy: ({ visitor }) => visitor },
    )
    .on(OrderPlaced, ({ visitor, orderId }) => {
      baskets.empty(visitor, orderId);
      changes.notify(visitor);
    })
    .answer(GetBasket, ({ visitor }) => baskets.find(visitor))
    .serve(WatchBasket, async function* ({ visitor }, context) {
      let seen = context.resumeFrom ?? -1;
      for await (const _ of changes.of(visitor, context.signal)) {
        const found = baskets.find(visitor);
        if (found.revision > seen) yield found;
        seen = found.revision;
      }
    });
