import assert from "node:assert/strict";
import { request } from "node:http";
import { test } from "node:test";
import { connect, memory } from "waybill";
import { DataDirectory } from "../database.ts";
import { ShopClient } from "../load/client.ts";
import { services } from "../services.ts";
import { settingsDefault } from "../settings.ts";
import { Storefront } from "./server.ts";
import { storefront } from "./service.ts";

const visitor = "6a0f3f63-7a0c-4d54-9d3f-5f0a5f6f7a01";
const stranger = "6a0f3f63-7a0c-4d54-9d3f-5f0a5f6f7a02";
const orderId = "00000000-0000-4000-8000-000000000001";
const json = { "content-type": "application/json" };

async function openStorefront() {
  const data = new DataDirectory();
  const settings = { ...settingsDefault, declines: 0, errors: 0, deliveryMs: 50 };
  const [goods, basket] = services.basket(data);
  const bus = await connect({
    transport: memory(),
    services: [
      services.catalog(data),
      services.pricing(data),
      goods,
      basket,
      services.checkout(),
      services.inventory(data),
      services.payment(data, settings),
      services.shipping(data, settings),
      ...services.ordering(data),
      services.notifications(data),
      services.telemetry(data),
      storefront,
    ],
  });
  await bus.views(goods).rebuild();
  const server = await Storefront.open(bus, 0);
  return {
    url: server.url,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await bus.close();
      data[Symbol.dispose]();
    },
  };
}

/** fetch would not let us lie about Host. */
function statusOf(
  url: string,
  options: { method?: string; headers?: Record<string, string>; body?: string },
) {
  return new Promise<number>((resolve, reject) => {
    const sent = request(url, options, (response) => {
      response.resume();
      resolve(response.statusCode ?? 0);
    });
    sent.on("error", reject);
    sent.end(options.body);
  });
}

test("a customer buys over HTTP, and another visitor does not see the order", async () => {
  await using shop = await openStorefront();
  const client = new ShopClient(shop.url, visitor);
  await client.call("POST", "/api/basket/lines", { sku: "mug", quantity: 2 });
  const order = { orderId, name: " Ada ", region: "EU", tier: "vip", card: "good" };
  await client.call("POST", "/api/orders", order);
  await client.call("POST", "/api/orders", order);

  const states: string[] = [];
  for await (const { state } of client.watch(orderId, AbortSignal.timeout(5_000)))
    states.push(state);
  assert.equal(states.at(-1), "completed");
  const text = JSON.stringify(await client.call("GET", `/api/orders/${orderId}`));
  assert.match(text, /"name":"Ada".*"totalCents":2900/);
  assert.ok(!text.includes(visitor) && !text.includes("card"));
  await assert.rejects(
    new ShopClient(shop.url, stranger).call("GET", `/api/orders/${orderId}`),
    /404/,
  );
  const events = await fetch(`${shop.url}/api/orders/${orderId}/events`, {
    headers: { cookie: `visitor=${stranger}` },
  });
  assert.ok(!(await events.text()).includes('order"'));
});

test("what is not the shop's own page is refused", async () => {
  await using shop = await openStorefront();
  const lines = `${shop.url}/api/basket/lines`;
  const body = JSON.stringify({ sku: "mug", quantity: 1 });
  const post = (headers: Record<string, string>, text = body) =>
    statusOf(lines, { method: "POST", headers, body: text });

  assert.equal(await statusOf(`${shop.url}/`, { headers: { host: "evil.example" } }), 403);
  assert.equal(
    await statusOf(`${shop.url}/`, { headers: { host: "localhost.evil.example" } }),
    403,
  );
  assert.equal(await post({ ...json, "sec-fetch-site": "cross-site" }), 403);
  assert.equal(await post({ "content-type": "text/plain" }), 415);
  assert.equal(await post({ "content-type": "application/x-www-form-urlencoded" }), 415);
  assert.equal(await post(json), 202);
});

test("what cannot be understood is told in JSON", async () => {
  await using shop = await openStorefront();
  const post = async (path: string, body: string) => {
    const response = await fetch(`${shop.url}${path}`, { method: "POST", headers: json, body });
    return [response.status, ((await response.json()) as { error: { code: string } }).error.code];
  };
  assert.deepEqual(await post("/api/basket/lines", "{"), [400, "BODY_INVALID"]);
  assert.deepEqual(await post("/api/basket/lines", `{"sku":"mug","quantity":-1}`), [
    400,
    "BODY_INVALID",
  ]);
  assert.deepEqual(await post("/api/basket/lines", `"${"x".repeat(20_000)}"`), [
    413,
    "BODY_TOO_LARGE",
  ]);
  assert.deepEqual(await post("/api/nowhere", "{}"), [404, "NOT_FOUND"]);
  const order = { orderId, name: "Ada", region: "EU", tier: "vip", card: "good" };
  assert.deepEqual(await post("/api/orders", JSON.stringify(order)), [409, "BASKET_EMPTY"]);
  assert.deepEqual(await post("/api/orders", JSON.stringify({ ...order, name: "" })), [
    400,
    "BODY_INVALID",
  ]);
  const missing = await fetch(`${shop.url}/api/orders/nonsense`);
  assert.equal(missing.status, 400);
});

test("a page may load only what comes from the shop, and its cookie is out of reach of scripts", async () => {
  await using shop = await openStorefront();
  const response = await fetch(shop.url);
  await response.text();
  assert.match(response.headers.get("content-security-policy") ?? "", /default-src 'self'/);
  assert.match(response.headers.get("set-cookie") ?? "", /HttpOnly; SameSite=Strict/);
  assert.equal(response.headers.get("access-control-allow-origin"), null);
});

test("a port that is taken makes way for the next", async () => {
  await using first = await openStorefront();
  const taken = Number(new URL(first.url).port);
  const data = new DataDirectory();
  await using bus = await connect({
    transport: memory(),
    services: [services.catalog(data), storefront],
  });
  await using second = await Storefront.open(bus, taken);
  assert.ok(Number(new URL(second.url).port) > taken);
});
