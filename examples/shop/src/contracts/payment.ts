import { command, event, query } from "waybill";
import * as z from "zod";
import { Card, OrderId } from "./ordering.ts";
import { Cents } from "./pricing.ts";

export const ChargeCard = command("payment.charge-card", {
  input: z.object({ orderId: OrderId, card: Card, cents: Cents }),
});

/** Refunds a charge, and forbids one that has not come yet. */
export const VoidPayment = command("payment.void-payment", {
  input: z.object({ orderId: OrderId }),
});

export const PaymentReceived = event("payment.payment-received", {
  payload: z.object({ orderId: OrderId, cents: Cents, attempts: z.int().min(1) }),
});

export const PaymentDeclined = event("payment.payment-declined", {
  payload: z.object({ orderId: OrderId, reason: z.string() }),
});

/** What was taken and kept, to hold against the orders. */
export const GetTakings = query("payment.get-takings", {
  input: z.object({}),
  output: z.object({ payments: z.int(), cents: z.int(), refunds: z.int() }),
});
