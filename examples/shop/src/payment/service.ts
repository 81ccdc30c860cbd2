import { type RetryPolicy, service } from "waybill";
import {
  ChargeCard,
  GetTakings,
  PaymentDeclined,
  PaymentReceived,
  VoidPayment,
} from "../contracts/payment.ts";
import type { Settings } from "../settings.ts";
import { askBank } from "./bank.ts";
import type { Payments } from "./data.ts";

/** No second run at once: the pauses are what makes a bank answer again, and each shows as an attempt of its own. */
const retry: RetryPolicy = {
  immediate: 0,
  attempts: 8,
  delayMs: 200,
  factor: 2,
  delayMsMax: 5_000,
};

/** Charges cards at a bank that is often out of sorts. */
export const payment = (payments: Payments, settings: Settings) =>
  service("payment", { publishes: [PaymentReceived, PaymentDeclined] })
    .handle(
      ChargeCard,
      async ({ orderId, card, cents }, context) => {
        if (card === "poison" && payments.strike(orderId)) throw bug();
        const { attempt } = context;
        const known = payments.find(orderId);
        const { state, attempts } =
          known ??
          payments.record(orderId, {
            cents,
            attempts: attempt,
            state: askBank({ orderId, card, attempt }, settings),
          });
        if (state === "charged")
          await context.publish(PaymentReceived, { orderId, cents, attempts });
        if (state === "declined")
          await context.publish(PaymentDeclined, {
            orderId,
            reason: "The bank declined the card.",
          });
      },
      { retry },
    )
    .handle(VoidPayment, ({ orderId }) => payments.void(orderId))
    .answer(GetTakings, () => payments.takings());

/**
 * Stands for a mistake in our own program that one customer in a thousand hits. Running the message again would not help, so it
 * goes to the dead letters at once. It strikes each order once: by the time somebody replays the message, we have fixed it.
 */
function bug(): TypeError {
  return new TypeError("Cannot read properties of undefined (reading 'issuer')");
}
