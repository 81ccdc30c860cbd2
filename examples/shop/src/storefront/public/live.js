// What the page shows live: its basket and its open orders, over one connection.

import { call, doing, later } from "./dom.js";
import { showBasket, showProducts } from "./goods.js";
import { hasEnded, showOrder } from "./orders.js";

const open = new Set();
let events;

/** Shows these orders, and each change of them until they have ended. */
export function watch(...orderIds) {
  for (const orderId of orderIds) open.add(orderId);
  connect();
}

function connect() {
  events?.close();
  const source = new EventSource(`/api/events?orders=${[...open].slice(-20).join(",")}`);
  events = source;
  source.addEventListener("message", ({ data }) => show(JSON.parse(data)));
  // Browsers come back by themselves after a broken connection, but not after a refusal.
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED && source === events) later(2_000, connect);
  });
}

/** A feed takes a while to notice that the process behind it was killed; asking now and then does not. */
export async function refresh() {
  if (open.size === 0) return;
  for (const order of await call("GET", "/api/orders")) {
    if (open.has(order.orderId)) show({ order });
  }
}

function show({ basket, order }) {
  if (basket) showBasket(basket);
  if (!order) return;
  showOrder(order);
  if (hasEnded(order) && open.delete(order.orderId)) doing(showProducts)();
}
