import { type ContextOf, service } from "waybill";
import type { Changes } from "../changes.ts";
import { ReserveStock, StockRejected, StockReserved } from "../contracts/inventory.ts";
import {
  CancelUnpaidOrder,
  GetOrder,
  ListOrders,
  OrderEnded,
  OrderMoved,
  OrderPlaced,
  PlaceOrder,
  WatchOrder,
} from "../contracts/ordering.ts";
import { ChargeCard, PaymentDeclined, PaymentReceived } from "../contracts/payment.ts";
import { OrderDelivered, OrderShipped, ShipOrder } from "../contracts/shipping.ts";
import type { Move, Orders, StoredOrder } from "./data.ts";

const face = service("ordering", {
  sends: [ReserveStock, ChargeCard, ShipOrder, CancelUnpaidOrder],
  publishes: [OrderPlaced, OrderMoved, OrderEnded],
});

type OrderingContext = ContextOf<typeof face>;

/**
 * Leads an order from wish to end. Every message may come twice, so each handler moves the order only from the states
 * that it knows, and then says what the stored state asks for: the first time, and again if it died before it could.
 */
export const ordering = (orders: Orders, changes: Changes) => {
  // Whichever process moves an order, the feed that shows it may be another's: so every process is told.
  const moved = ({ orderId }: { readonly orderId: string }): void => changes.notify(orderId);
  const move = async (
    orderId: string,
    step: Omit<Move, "at">,
    context: OrderingContext,
  ): Promise<void> => {
    const order = orders.move(orderId, { ...step, at: context.now() });
    await context.publish(OrderMoved, { orderId });
    if (order.view.state === step.to) await announce(order, context);
  };

  return face
    .handle(PlaceOrder, async (wish, context) => {
      const order = orders.place(wish, context.now());
      await context.publish(OrderMoved, { orderId: wish.orderId });
      if (order.view.state === "placed") await announce(order, context);
    })
    .on(StockReserved, ({ orderId }, context) =>
      move(orderId, { from: ["placed"], to: "reserved" }, context),
    )
    .on(StockRejected, ({ orderId, reason }, context) =>
      move(orderId, { from: ["placed"], to: "rejected", reason }, context),
    )
    .on(PaymentReceived, ({ orderId, attempts }, context) =>
      move(orderId, { from: ["reserved"], to: "paid", paymentAttempts: attempts }, context),
    )
    .on(PaymentDeclined, ({ orderId, reason }, context) =>
      move(orderId, { from: ["reserved"], to: "rejected", reason }, context),
    )
    .on(OrderShipped, ({ orderId }, context) =>
      move(orderId, { from: ["paid"], to: "shipped" }, context),
    )
    .on(OrderDelivered, ({ orderId }, context) =>
      move(orderId, { from: ["paid", "shipped"], to: "completed" }, context),
    )
    .on(OrderMoved, moved, { everyInstance: true })
    .handle(CancelUnpaidOrder, ({ orderId }, context) =>
      move(
        orderId,
        { from: ["placed", "reserved"], to: "cancelled", reason: "It was not paid in time." },
        context,
      ),
    )
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
};

/** What an order in its state asks of others. All of them know orders by their id, so that hearing it twice does no harm. */
async function announce({ view, card }: StoredOrder, context: OrderingContext): Promise<void> {
  const { orderId, visitor, customer, lines, totalCents, state, reason, payBy } = view;
  switch (state) {
    case "placed":
      await context.publish(OrderPlaced, { orderId, visitor, customer, lines, totalCents });
      await context.send(ReserveStock, { orderId, lines });
      await context.send(CancelUnpaidOrder, { orderId }, { at: new Date(payBy) });
      return;
    case "reserved":
      await context.send(ChargeCard, { orderId, card, cents: totalCents });
      return;
    case "paid":
      await context.send(ShipOrder, { orderId, region: customer.region });
      return;
    case "shipped":
      return;
    case "completed":
    case "rejected":
    case "cancelled":
      await context.publish(OrderEnded, { orderId, outcome: state, reason });
  }
}
