import { service } from "waybill";
import { GetBasket, SetLine, WatchBasket } from "../contracts/basket.ts";
import { ChangeProduct } from "../contracts/catalog.ts";
import { GetCheckout, ListOffers } from "../contracts/checkout.ts";
import { ListNotifications } from "../contracts/notifications.ts";
import { GetOrder, ListOrders, PlaceOrder, WatchOrder } from "../contracts/ordering.ts";
import { SetPrice } from "../contracts/pricing.ts";
import { GetTelemetry, PageViews } from "../contracts/telemetry.ts";

/** The edge: speaks HTTP to browsers and Waybill to the services. It handles no messages, so it only declares what it says. */
export const storefront = service("storefront", {
  asks: [ListOffers, GetCheckout, GetBasket, GetOrder, ListOrders, ListNotifications, GetTelemetry],
  sends: [SetLine, PlaceOrder, ChangeProduct, SetPrice],
  opens: [WatchBasket, WatchOrder],
  appends: [PageViews],
});
