import { service } from "waybill";
import { GetBasket, SetLine, WatchBasket } from "../contracts/basket.ts";
import { ListProducts } from "../contracts/catalog.ts";
import { ListStock } from "../contracts/inventory.ts";
import { ListNotifications } from "../contracts/notifications.ts";
import { GetOrder, ListOrders, PlaceOrder, WatchOrder } from "../contracts/ordering.ts";
import { ListPrices } from "../contracts/pricing.ts";
import { GetTelemetry, PageViews } from "../contracts/telemetry.ts";

/** The edge: speaks HTTP to browsers and Waybill to the services. It handles no messages, so it only declares what it says. */
export const storefront = service("storefront", {
  asks: [
    ListProducts,
    ListPrices,
    ListStock,
    GetBasket,
    GetOrder,
    ListOrders,
    ListNotifications,
    GetTelemetry,
  ],
  sends: [SetLine, PlaceOrder],
  opens: [WatchBasket, WatchOrder],
  appends: [PageViews],
});
