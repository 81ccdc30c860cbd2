// Orders, which move by themselves.

import { $, element, euros } from "./dom.js";
import { nameOf } from "./goods.js";

const flow = ["placed", "reserved", "paid", "shipped", "completed"];
const ends = ["completed", "rejected", "cancelled"];
const cards = new Map();

/** Whether nothing will happen to it any more. */
export const hasEnded = ({ state }) => ends.includes(state);

/** Shows an order, or how it has changed. */
export function showOrder(order) {
  const { orderId, state, reason, lines, totalCents, payBy, paymentAttempts, steps } = order;
  const what = lines.map(({ sku, quantity }) => `${quantity} × ${nameOf(sku)}`).join(", ");
  const reached = new Set(steps.map((step) => step.state));
  const unhappy = state === "rejected" || state === "cancelled";
  const shown = unhappy ? [...flow.filter((step) => reached.has(step)), state] : flow;
  const remarks = [
    reason,
    state === "reserved" &&
      `Waiting for the payment until ${new Date(payBy).toLocaleTimeString("en")}.`,
    paymentAttempts > 1 && `The bank answered at attempt ${paymentAttempts}.`,
  ].filter(Boolean);
  const card = element(
    "li",
    { class: "card", "data-order": orderId, "data-state": state },
    element(
      "div",
      { class: "order-head" },
      element("span", { class: `badge ${state}`, role: "status" }, state),
      element("span", { class: "what" }, what),
      element("span", {}, euros(totalCents)),
      element("span", { class: "quiet" }, `order ${orderId.slice(0, 8)}`),
    ),
    element(
      "ol",
      { class: "steps", "aria-label": "Progress" },
      ...shown.map((step) =>
        element(
          "li",
          {
            class: reached.has(step) ? (step === state && unhappy ? "bad" : "done") : "",
            ...(step === state && { "aria-current": "step" }),
          },
          step,
        ),
      ),
    ),
    ...remarks.map((text) => element("p", { class: "remark" }, text)),
  );
  const before = cards.get(orderId);
  if (before === undefined) $("orders").prepend(card);
  else before.replaceWith(card);
  cards.set(orderId, card);
  $("orders-empty").hidden = true;
}
