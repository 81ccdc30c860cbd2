import { service } from "waybill";
import type { Changes } from "../changes.ts";
import { GetOrder, ListOrders, OrderMoved, WatchOrder } from "../contracts/ordering.ts";
import type { Orders } from "./data.ts";

/** Shows the orders that the process leads: to whoever asks, and live. */
export const orderDesk = (orders: Orders, changes: Changes) =>
  service("order-desk")
    // Whichever process moves an order, the feed that shows it may be another's: so every process is told.
    .on(OrderMoved, ({ orderId }) => changes.notify(orderId), { everyInstance: true })
    .answer(GetOrder, ({ orderId }) => orders.find(orderId))
    .answer(ListOrders, ({ visitor }) => orders.ofVisitor(visitor))
    .serve(WatchOrder, async function* ({ orderId }, context) {
      let seen = context.resumeFrom ?? 0;
      for await (const _ of changes.of(orderId, context.signal)) {
        const order = orders.find(orderId);
        if (order === null) continue;
        if (order.steps.length > seen) yield order;
        seen = order.steps.length;
        if (["completed", "rejected", "cancelled"].includes(order.state)) return;
      }
    });
