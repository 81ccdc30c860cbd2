// The back office: what customers never see.

import { $, call, doing, element } from "./dom.js";
import { nameOf } from "./goods.js";
import { watch } from "./live.js";

async function showDeadLetters() {
  const letters = await call("GET", "/api/dead-letters");
  $("dead-count").textContent = String(letters.length);
  $("dead-count").classList.toggle("bad", letters.length > 0);
  $("dead-empty").hidden = letters.length > 0;
  const shown = JSON.stringify(letters);
  if (shown === showDeadLetters.shown) return;
  showDeadLetters.shown = shown;
  $("dead-letters").replaceChildren(
    ...letters.map(({ handle, contract, orderId, reason, attempts }) => {
      const replay = async (event) => {
        event.target.disabled = true;
        await call("POST", "/api/dead-letters/replay", { handles: [handle] });
        if (orderId) watch(orderId);
        await showDeadLetters();
      };
      const about = `${contract}${orderId ? ` · order ${orderId.slice(0, 8)}` : ""} · ${attempts === 1 ? "1 attempt" : `${attempts} attempts`}`;
      return element(
        "li",
        { "data-dead": orderId ?? "" },
        element("span", { class: "reason" }, reason),
        element("span", { class: "quiet" }, about),
        element(
          "button",
          { type: "button", onclick: doing(replay), "aria-label": `Replay ${contract}` },
          "Replay",
        ),
      );
    }),
  );
}

async function showNotifications() {
  const told = await call("GET", "/api/notifications");
  $("notifications").replaceChildren(
    ...told
      .slice(0, 6)
      .map(({ audience, text }) =>
        element("li", {}, element("span", { class: "audience" }, audience), ` ${text}`),
      ),
  );
}

async function showTelemetry() {
  const { live, history } = await call("GET", "/api/telemetry");
  const rows = [
    ["Products looked at, live", live.views],
    ["Products looked at, ever", history.views],
    ...history.mostViewed
      .slice(0, 1)
      .map(({ sku, views }) => ["Most looked at", `${nameOf(sku)} (${views})`]),
    ...live.vans.map(({ device, celsius }) => [
      `Cold box of ${device}`,
      `${celsius.toFixed(1)} °C`,
    ]),
    ["Readings kept", history.readings],
  ];
  $("telemetry").replaceChildren(
    ...rows.map(([term, value]) =>
      element("div", {}, element("dt", {}, term), element("dd", {}, String(value))),
    ),
  );
}

export async function showOffice() {
  if (document.visibilityState !== "visible") return;
  await Promise.allSettled([showDeadLetters(), showNotifications(), showTelemetry()]);
}
