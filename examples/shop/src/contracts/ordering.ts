import { command, event, feed, query } from "waybill";
import * as z from "zod";
import { Line, Visitor } from "./basket.ts";
import { Cents } from "./pricing.ts";

export const OrderId = z.uuid();
export const Region = z.enum(["EU", "US", "ASIA"]);
export const Tier = z.enum(["standard", "vip"]);

/** Stands for a card. What each does: `payment/bank.ts`. */
export const Card = z.enum(["good", "declined", "silent", "poison"]);
export type Card = z.infer<typeof Card>;

export const Customer = z.object({
  name: z.string().trim().min(1).max(80),
  region: Region,
  tier: Tier,
});

export const Order = z.object({
  orderId: OrderId,
  visitor: Visitor,
  customer: Customer,
  lines: z.array(Line).min(1).max(50),
});

export const OrderState = z.enum([
  "placed",
  "reserved",
  "paid",
  "shipped",
  "completed",
  "rejected",
  "cancelled",
]);
export type OrderState = z.infer<typeof OrderState>;

/** An order as its customer may see it: no card. */
export const OrderView = Order.extend({
  totalCents: Cents,
  state: OrderState,
  reason: z.string().nullable(),
  payBy: z.iso.datetime(),
  paymentAttempts: z.int().nullable(),
  steps: z.array(z.object({ state: OrderState, at: z.iso.datetime() })),
});
export type OrderView = z.infer<typeof OrderView>;

/** The customer's wish. The customer chooses the id, so that a wish said twice is one order. */
export const PlaceOrder = command("ordering.place-order", {
  input: Order.extend({ card: Card, payWithinMs: z.int().min(500).max(3_600_000) }),
});

export const OrderPlaced = event("ordering.order-placed", {
  payload: Order.extend({ totalCents: Cents }),
  attributes: ({ customer, totalCents }) => ({
    region: customer.region,
    tier: customer.tier,
    total: totalCents,
  }),
});

/** An order has taken a step. For whoever shows it. */
export const OrderMoved = event("ordering.order-moved", {
  payload: z.object({ orderId: OrderId }),
});

export const GetOrder = query("ordering.get-order", {
  input: z.object({ orderId: OrderId }),
  output: OrderView.nullable(),
});

/** A visitor's latest orders, newest first. */
export const ListOrders = query("ordering.list-orders", {
  input: z.object({ visitor: Visitor }),
  output: z.array(OrderView),
});

/**
 * The order now and after each change, until it has come to its end. Waits for an order that is not known yet. Goes on when the process
 * behind it dies: each change adds a step, so their number says what a watcher has seen.
 */
export const WatchOrder = feed("ordering.watch-order", {
  input: z.object({ orderId: OrderId }),
  item: OrderView,
  resume: { cursor: z.int().positive(), of: ({ steps }) => steps.length },
});
