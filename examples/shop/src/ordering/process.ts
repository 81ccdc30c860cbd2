import { type InputOf, type SagaContextOf, saga } from "waybill";
import * as z from "zod";
import {
  ReleaseStock,
  ReserveStock,
  StockRejected,
  StockReserved,
} from "../contracts/inventory.ts";
import {
  Card,
  OrderMoved,
  OrderPlaced,
  OrderState,
  PlaceOrder,
  Region,
} from "../contracts/ordering.ts";
import { ChargeCard, PaymentDeclined, PaymentReceived, VoidPayment } from "../contracts/payment.ts";
import { Cents } from "../contracts/pricing.ts";
import { OrderDelivered, OrderShipped, ShipOrder } from "../contracts/shipping.ts";
import { type Move, type Orders, totalOf } from "./data.ts";

const face = (orders: Orders) =>
  saga("ordering", {
    store: orders.store,
    // What customers see stands in the tables of data.ts.
    state: z.object({ card: Card, cents: Cents, region: Region }),
    phases: OrderState.options,
    sends: [ReserveStock, ReleaseStock, ChargeCard, VoidPayment, ShipOrder],
    publishes: [OrderPlaced, OrderMoved],
    timeouts: ["payment"],
    // Others only answer what this process has committed. What does not fit any more is an answer given twice, or overtaken by the timeout.
    unexpected: "ignore",
    late: "ignore",
  });

type Process = SagaContextOf<ReturnType<typeof face>>;
type Details = Pick<Move, "reason" | "paymentAttempts">;

const by = ({ orderId }: { readonly orderId: string }): string => orderId;

type Wish = InputOf<typeof PlaceOrder>;

/** What later steps need of it. */
const toState = ({ card, lines, customer: { region } }: Wish): Process["state"] => ({
  card,
  cents: totalOf(lines),
  region,
});

/**
 * Leads an order from wish to end: reserve, charge, ship, or take back what was done. Its phase, what customers see of it, what it sends and
 * the record of the message are one transaction, so no transition has to reckon with running twice.
 */
export const orderProcess = (orders: Orders) => {
  const move = async <To extends OrderState>(
    process: Process,
    to: To,
    details: Details = {},
  ): Promise<To> => {
    orders.move(process.transaction, process.id, { to, at: process.now(), ...details });
    await process.publish(OrderMoved, { orderId: process.id });
    return to;
  };
  const fail = async <To extends "rejected" | "cancelled">(
    process: Process,
    outcome: To,
    reason: string,
  ): Promise<To> => {
    await process.compensate();
    return move(process, outcome, { reason });
  };

  return face(orders)
    .startedBy(PlaceOrder, { by, state: toState, to: ["placed"] }, async (wish, process) => {
      await place(wish, process, orders);
      return "placed";
    })
    .on(StockReserved, { by, in: ["placed"], to: ["reserved"] }, async ({ orderId }, process) => {
      const { card, cents } = process.state;
      await process.undo(VoidPayment, { orderId });
      await process.send(ChargeCard, { orderId, card, cents });
      return move(process, "reserved");
    })
    .on(StockRejected, { by, in: ["placed"], to: ["rejected"] }, ({ reason }, process) =>
      fail(process, "rejected", reason),
    )
    .on(PaymentReceived, { by, in: ["reserved"], to: ["paid"] }, async (payment, process) => {
      const { orderId, attempts: paymentAttempts } = payment;
      await process.send(ShipOrder, { orderId, region: process.state.region });
      return move(process, "paid", { paymentAttempts });
    })
    .on(PaymentDeclined, { by, in: ["reserved"], to: ["rejected"] }, ({ reason }, process) =>
      fail(process, "rejected", reason),
    )
    .on(OrderShipped, { by, in: ["paid"], to: ["shipped"] }, (_event, process) =>
      move(process, "shipped"),
    )
    .on(
      OrderDelivered,
      { by, in: ["paid", "shipped"], to: ["completed"] },
      (_event, process) => move(process, "completed"), // may overtake "shipped": they come from two queues
    )
    .onTimeout("payment", { in: ["placed", "reserved"], to: ["cancelled"] }, (process) =>
      fail(process, "cancelled", "It was not paid in time."),
    );
};

async function place(wish: Wish, process: Process, orders: Orders): Promise<void> {
  const { orderId, visitor, customer, lines, payWithinMs } = wish;
  const at = process.now();
  const payBy = new Date(at.getTime() + payWithinMs);
  orders.place(process.transaction, wish, { at, payBy });
  const totalCents = process.state.cents;
  await process.publish(OrderPlaced, { orderId, visitor, customer, lines, totalCents });
  await process.publish(OrderMoved, { orderId });
  await process.timeout("payment", { at: payBy });
  await process.undo(ReleaseStock, { orderId });
  await process.send(ReserveStock, { orderId, lines });
}
