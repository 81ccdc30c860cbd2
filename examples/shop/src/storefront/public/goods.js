// What there is to buy, and the basket.

import { $, call, doing, element, euros, picture } from "./dom.js";

const offers = new Map();
export const nameOf = (sku) => offers.get(sku)?.name ?? sku;

let basket = { lines: [], totalCents: 0 };
const setLine = (sku, quantity) => call("POST", "/api/basket/lines", { sku, quantity });
const inBasket = (sku) => basket.lines.find((line) => line.sku === sku)?.quantity ?? 0;
const seen = new Set();

function look(sku) {
  if (seen.has(sku)) return;
  seen.add(sku);
  call("POST", "/api/page-views", { sku }).catch(() => seen.delete(sku));
}

export async function showProducts() {
  for (const offer of await call("GET", "/api/products")) offers.set(offer.sku, offer);
  $("products").replaceChildren(
    ...[...offers.values()].map(({ sku, name, description, cents, free }) => {
      const price = element("span", { class: "price" }, euros(cents));
      // null: nobody could say.
      if (free !== null && free < 20)
        price.append(
          element("span", { class: "left" }, free === 0 ? "Sold out" : `Only ${free} left`),
        );
      const add = doing(() => setLine(sku, Math.min(99, inBasket(sku) + 1)));
      return element(
        "li",
        { class: "product", onpointerenter: () => look(sku), onfocusin: () => look(sku) },
        picture(sku),
        element(
          "div",
          { class: "about" },
          element("h3", {}, name),
          element("p", { class: "quiet" }, description),
        ),
        element(
          "div",
          { class: "buy" },
          price,
          element(
            "button",
            { type: "button", onclick: add, "aria-label": `Add ${name} to the basket` },
            "Add",
          ),
        ),
      );
    }),
  );
}

export function showBasket(next) {
  basket = next;
  const { lines, totalCents } = next;
  const focused = document.activeElement?.getAttribute("aria-label");
  $("basket-lines").replaceChildren(
    ...lines.map(({ sku, quantity, cents }) => {
      const change = (by, label) =>
        element(
          "button",
          {
            type: "button",
            "aria-label": `${label} ${nameOf(sku)}`,
            onclick: doing(() => setLine(sku, Math.min(99, quantity + by))),
          },
          by < 0 ? "−" : "+",
        );
      return element(
        "li",
        {},
        element("span", {}, nameOf(sku)),
        element(
          "span",
          { class: "quantity" },
          change(-1, "One less"),
          String(quantity),
          change(1, "One more"),
        ),
        element("span", { class: "sum" }, euros(quantity * cents)),
      );
    }),
  );
  // The list was made anew: who works with the keyboard stays where they were.
  if (focused)
    document.querySelector(`#basket-lines [aria-label="${CSS.escape(focused)}"]`)?.focus();
  const count = lines.reduce((sum, { quantity }) => sum + quantity, 0);
  $("basket-count").textContent = String(count);
  $("basket-empty").hidden = count > 0;
  $("basket-total").hidden = count === 0;
  $("basket-total").replaceChildren(
    element("span", {}, "Total"),
    element("span", {}, euros(totalCents)),
  );
  $("checkout").querySelector("button[type=submit]").disabled = count === 0;
}
