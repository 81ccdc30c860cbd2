// The page: plain DOM, no framework, no build.

import { $, call, doing, every, newId, say } from "./dom.js";
import { nameOf, showProducts } from "./goods.js";
import { refresh, watch } from "./live.js";
import { showOffice } from "./office.js";
import { hasEnded, showOrder } from "./orders.js";

async function checkOut(form) {
  const { orderId, short } = await call("POST", "/api/orders", {
    orderId: newId(),
    name: form.get("name"),
    region: form.get("region"),
    tier: form.has("vip") ? "vip" : "standard",
    card: form.get("card"),
    payWithinMs: Number(form.get("payWithinMs")),
  });
  watch(orderId);
  $("orders-title").scrollIntoView({ behavior: "smooth", block: "start" });
  const doubts =
    short?.length > 0 ? ` There may not be enough of: ${short.map(nameOf).join(", ")}.` : "";
  say(`Thank you. Your order is on its way through the shop.${doubts}`);
}

$("checkout").addEventListener("submit", (event) => {
  event.preventDefault();
  doing(() => checkOut(new FormData(event.target)))();
});

doing(async () => {
  await showProducts();
  const orders = await call("GET", "/api/orders");
  for (const order of orders.toReversed()) showOrder(order);
  watch(...orders.filter((order) => !hasEnded(order)).map(({ orderId }) => orderId));
  await every(2_000, () => Promise.allSettled([showOffice(), refresh()]));
})();
