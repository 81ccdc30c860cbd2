import type { IncomingMessage } from "node:http";
import { type BusOf, systemEnvironment } from "waybill";
import * as z from "zod";
import { GetBasket, SetLine, WatchBasket } from "../contracts/basket.ts";
import { ChangeProduct, ProductDetails, Sku } from "../contracts/catalog.ts";
import { GetCheckout, ListOffers } from "../contracts/checkout.ts";
import { ListNotifications } from "../contracts/notifications.ts";
import {
  Card,
  Customer,
  GetOrder,
  ListOrders,
  OrderId,
  type OrderView,
  PlaceOrder,
  WatchOrder,
} from "../contracts/ordering.ts";
import { Cents, SetPrice } from "../contracts/pricing.ts";
import { GetTelemetry, PageViews } from "../contracts/telemetry.ts";
import { listDeadLetters } from "./dead-letters.ts";
import { HttpError, readBody } from "./http.ts";
import type { storefront } from "./service.ts";

export type StorefrontBus = BusOf<typeof storefront>;

export interface Call {
  readonly bus: StorefrontBus;
  readonly request: IncomingMessage;
  readonly visitor: string;
  readonly params: Readonly<Record<string, string | undefined>>;
  readonly query: URLSearchParams;
}

export interface Reply {
  readonly status: number;
  readonly body: unknown;
}

const soon = { timeoutMs: 5_000 };
const payWithinMsDefault = 120_000;
const ordersWatchedMax = 20;

const SetLineBody = z.object({ sku: Sku, quantity: z.int().min(0).max(99) });
const PriceBody = z.object({ sku: Sku, cents: Cents });
const PageViewBody = z.object({ sku: Sku });
const ReplayBody = z.object({ handles: z.array(z.string().max(200)).min(1).max(100) });
const OrderBody = Customer.extend({
  orderId: OrderId,
  card: Card,
  payWithinMs: z.int().min(500).max(3_600_000).default(payWithinMsDefault),
});

/** What the page can ask for. Commands are answered with 202: they were accepted, and feeds tell what becomes of them. */
export const routes: Readonly<Record<string, (call: Call) => Promise<Reply>>> = {
  "GET /api/products": async ({ bus }) => ok(await bus.ask(ListOffers, {}, soon)),

  "GET /api/basket": async ({ bus, visitor }) => {
    const { lines, totalCents } = await bus.ask(GetBasket, { visitor }, soon);
    return ok({ lines, totalCents });
  },

  "POST /api/basket/lines": async ({ bus, visitor, request }) => {
    const line = await readBody(request, SetLineBody);
    await bus.send(SetLine, { visitor, ...line });
    return accepted({});
  },

  "POST /api/products": async ({ bus, request }) => {
    await bus.send(ChangeProduct, await readBody(request, ProductDetails));
    return accepted({});
  },

  "POST /api/prices": async ({ bus, request }) => {
    await bus.send(SetPrice, await readBody(request, PriceBody));
    return accepted({});
  },

  "POST /api/orders": placeOrder,

  "GET /api/orders": async ({ bus, visitor }) => {
    return ok((await bus.ask(ListOrders, { visitor }, soon)).map(publicOrder));
  },

  "GET /api/orders/:orderId": async ({ bus, visitor, params }) => {
    const order = await bus.ask(GetOrder, { orderId: orderIdOf(params["orderId"]) }, soon);
    if (order?.visitor !== visitor)
      throw new HttpError(404, "NOT_FOUND", "There is no such order.");
    return ok(publicOrder(order));
  },

  "POST /api/page-views": async ({ bus, visitor, request }) => {
    const { sku } = await readBody(request, PageViewBody);
    const at = new Date(systemEnvironment.clock.now()).toISOString();
    await bus.append(PageViews, { visitor, sku, at });
    return accepted({});
  },

  "GET /api/dead-letters": async ({ bus, query }) => {
    const after = query.get("after") ?? undefined;
    return ok(await listDeadLetters(bus.deadLetters, after));
  },

  "POST /api/dead-letters/replay": async ({ bus, request }) => {
    const { handles } = await readBody(request, ReplayBody);
    return ok({ replayed: await bus.deadLetters.replay(handles) });
  },

  "GET /api/notifications": async ({ bus }) => ok(await bus.ask(ListNotifications, {}, soon)),

  "GET /api/telemetry": async ({ bus }) => ok(await bus.ask(GetTelemetry, {}, soon)),
};

/** Live items, each as an event of Server-Sent Events. They end with the signal. */
export const feeds: Readonly<
  Record<string, (call: Call, signal: AbortSignal) => readonly AsyncIterable<unknown>[]>
> = {
  /** All that a page shows live over one connection, of which browsers keep few: its basket and its open orders. */
  "GET /api/events": (call, signal) => {
    const orderIds = (call.query.get("orders") ?? "").split(",").filter((id) => id !== "");
    const watched = orderIds.slice(0, ordersWatchedMax).map(orderIdOf);
    return [watchBasket(call, signal), ...watched.map((id) => watchOrder(id, call, signal))];
  },

  "GET /api/orders/:orderId/events": (call, signal) => [
    watchOrder(orderIdOf(call.params["orderId"]), call, signal),
  ],
};

async function* watchBasket({ bus, visitor }: Call, signal: AbortSignal): AsyncIterable<unknown> {
  for await (const { lines, totalCents } of bus.open(WatchBasket, { visitor }, { signal })) {
    yield { basket: { lines, totalCents } };
  }
}

async function* watchOrder(
  orderId: string,
  { bus, visitor }: Call,
  signal: AbortSignal,
): AsyncIterable<unknown> {
  for await (const order of bus.open(WatchOrder, { orderId }, { signal })) {
    if (order.visitor !== visitor) return;
    yield { order: publicOrder(order) };
  }
}

/** Takes what lies in the basket. The page chooses the order's id, so that a click that is sent twice is one order. */
async function placeOrder({ bus, visitor, request }: Call): Promise<Reply> {
  const { orderId, card, payWithinMs, ...customer } = await readBody(request, OrderBody);
  const { lines, isPlaced, short } = await bus.ask(GetCheckout, { visitor, orderId }, soon);
  if (lines.length === 0) {
    if (isPlaced === true) return accepted({ orderId, short: [] });
    if (isPlaced === null)
      throw new HttpError(503, "BUSY", "A part of the shop is busy. Try again in a moment.");
    throw new HttpError(409, "BASKET_EMPTY", "Put something into the basket first.");
  }
  await bus.send(PlaceOrder, { orderId, visitor, customer, lines, card, payWithinMs });
  return accepted({ orderId, short });
}

/** The visitor's id is what lets somebody see these orders: it stays here. */
function publicOrder(order: OrderView): unknown {
  return { ...order, visitor: undefined };
}

function orderIdOf(text: string | undefined): string {
  const parsed = OrderId.safeParse(text);
  if (parsed.success) return parsed.data;
  throw new HttpError(400, "ORDER_ID_INVALID", "An order's id is a UUID.");
}

function ok(body: unknown): Reply {
  return { status: 200, body };
}

function accepted(body: unknown): Reply {
  return { status: 202, body };
}
