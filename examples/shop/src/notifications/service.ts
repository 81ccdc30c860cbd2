import { service } from "waybill";
import { ListNotifications } from "../contracts/notifications.ts";
import { OrderPlaced } from "../contracts/ordering.ts";
import type { Notifications } from "./data.ts";

/**
 * Tells colleagues about the orders they care about. Two subscriptions to one event, each with its own rule: the broker
 * filters, so that what nobody wants never arrives here.
 */
export const notifications = (outbox: Notifications) =>
  service("notifications")
    .on(
      OrderPlaced,
      ({ orderId, customer, totalCents }, context) => {
        const text = `${customer.name} ordered for ${euros(totalCents)}. Write a card.`;
        outbox.add({ orderId, audience: "vip-desk", text, at: context.now().toISOString() });
      },
      { name: "vip", where: { or: [{ tier: "vip" }, { total: { gte: 40_000 } }] } },
    )
    .on(
      OrderPlaced,
      ({ orderId, customer }, context) => {
        const text = `${customer.name} ordered in your region.`;
        outbox.add({ orderId, audience: "eu-office", text, at: context.now().toISOString() });
      },
      { name: "region-eu", where: { region: "EU" } },
    )
    .answer(ListNotifications, () => outbox.latest());

function euros(cents: number): string {
  return `€${(cents / 100).toFixed(2)}`;
}
