import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { connect, memory } from "waybill";
import { Changes } from "./changes.ts";
import { ListStock, ReleaseStock } from "./contracts/inventory.ts";
import { ListNotifications } from "./contracts/notifications.ts";
import { GetOrder, ListOrders, OrderMoved, PlaceOrder, WatchOrder } from "./contracts/ordering.ts";
import { ChargeCard, GetTakings, PaymentReceived, VoidPayment } from "./contracts/payment.ts";
import { CountParcels } from "./contracts/shipping.ts";
import { DataDirectory } from "./database.ts";
import { Orders } from "./ordering/data.ts";
import { orderProcess } from "./ordering/process.ts";
import { orderingOn } from "./services.ts";
import { testShop, twice, wish } from "./testing.fixture.ts";

type TestShop = Awaited<ReturnType<typeof testShop>>;

async function stateOf(shop: TestShop, orderId: string) {
  return (await shop.ask(GetOrder, { orderId }))?.state;
}

async function ignoredWishes(shop: TestShop) {
  return (await shop.health()).contracts[PlaceOrder.name]?.ignored;
}

async function stockOf(shop: TestShop, sku: string) {
  return (await shop.ask(ListStock, {})).find((each) => each.sku === sku);
}

test("an order is reserved, paid, shipped and, after its journey, completed", async () => {
  await using shop = await testShop();
  const order = wish();
  await shop.send(PlaceOrder, order);
  await shop.settled();
  assert.equal(await stateOf(shop, order.orderId), "shipped");

  await shop.advance(2_000);
  const view = await shop.ask(GetOrder, { orderId: order.orderId });
  assert.deepEqual(
    view?.steps.map(({ state }) => state),
    ["placed", "reserved", "paid", "shipped", "completed"],
  );
  assert.deepEqual(await stockOf(shop, "mug"), { sku: "mug", free: 49_999, held: 1 });
  assert.deepEqual(await shop.ask(GetTakings, {}), { payments: 1, cents: 1450, refunds: 0 });
});

test("what is not in stock is refused, and nothing is charged", async () => {
  await using shop = await testShop();
  const order = wish(1, { sku: "first-edition", quantity: 4 });
  await shop.send(PlaceOrder, order);
  await shop.settled();
  const view = await shop.ask(GetOrder, { orderId: order.orderId });
  assert.equal(view?.state, "rejected");
  assert.match(view?.reason ?? "", /not enough "first-edition"/);
  assert.deepEqual(shop.sent(ChargeCard), []);
  assert.deepEqual(await stockOf(shop, "first-edition"), {
    sku: "first-edition",
    free: 3,
    held: 0,
  });
});

test("a declined card gives the stock back", async () => {
  await using shop = await testShop();
  const order = wish(1, { card: "declined" });
  await shop.send(PlaceOrder, order);
  await shop.settled();
  assert.equal(await stateOf(shop, order.orderId), "rejected");
  assert.deepEqual(await stockOf(shop, "mug"), { sku: "mug", free: 50_000, held: 0 });
});

test("an order that is not paid in time is cancelled and its stock given back", async () => {
  await using shop = await testShop();
  const order = wish(1, { card: "silent" });
  await shop.send(PlaceOrder, order);
  await shop.advance(59_000);
  assert.equal(await stateOf(shop, order.orderId), "reserved");
  await shop.advance(1_000);
  assert.equal(await stateOf(shop, order.orderId), "cancelled");
  assert.deepEqual(await stockOf(shop, "mug"), { sku: "mug", free: 50_000, held: 0 });
});

test("the payment timeout leaves a paid order alone", async () => {
  await using shop = await testShop({ deliveryMs: 120_000 });
  await shop.send(PlaceOrder, wish());
  await shop.advance(60_000);
  assert.equal(await stateOf(shop, wish().orderId), "shipped");
  await shop.advance(60_000);
  assert.equal(await stateOf(shop, wish().orderId), "completed");
  assert.equal(shop.published(OrderMoved).length, 5);
  assert.deepEqual([...shop.sent(ReleaseStock), ...shop.sent(VoidPayment)], []);
});

test("a bank that hangs up is asked again, and the attempts are seen", async () => {
  await using shop = await testShop({ errors: 0.6 });
  const orders = Array.from({ length: 20 }, (_, n) => wish(n));
  for (const order of orders) await shop.send(PlaceOrder, order);
  await shop.advance(30_000);
  const views = await Promise.all(orders.map(({ orderId }) => shop.ask(GetOrder, { orderId })));
  const completed = views.filter((view) => view?.state === "completed");
  assert.ok(completed.length >= 19, `${completed.length} of 20 completed`);
  assert.ok(completed.some((view) => (view?.paymentAttempts ?? 0) > 1));
});

test("a poisoned payment stands among the dead letters until it is replayed", async () => {
  await using shop = await testShop();
  const order = wish(1, { card: "poison" });
  await shop.send(PlaceOrder, order);
  await shop.settled();
  assert.equal(await stateOf(shop, order.orderId), "reserved");
  const [dead] = await shop.dead(ChargeCard);
  assert.equal(dead?.failure?.attempts, 1);
  assert.match(dead?.failure?.message ?? "", /issuer/);

  await shop.deadLetters.replay([dead?.handle ?? ""]);
  await shop.advance(2_000);
  assert.equal(await stateOf(shop, order.orderId), "completed");
  assert.deepEqual(await shop.dead(ChargeCard), []);
});

test("a poisoned payment that is replayed after its order was cancelled charges nothing", async () => {
  await using shop = await testShop();
  await shop.send(PlaceOrder, wish(1, { card: "poison" }));
  await shop.advance(60_000);
  const dead = await shop.dead(ChargeCard);
  await shop.deadLetters.replay(dead.map(({ handle }) => handle));
  await shop.settled();
  assert.equal(await stateOf(shop, wish().orderId), "cancelled");
  assert.equal((await shop.ask(GetTakings, {})).payments, 0);
});

test("only what a rule lets through reaches a notification", async () => {
  await using shop = await testShop();
  const customer = { name: "Ada", region: "US", tier: "standard" } as const;
  await shop.send(PlaceOrder, wish(1, { customer }));
  await shop.send(PlaceOrder, wish(2, { customer: { ...customer, region: "EU" } }));
  await shop.send(PlaceOrder, wish(3, { customer: { ...customer, tier: "vip" } }));
  await shop.send(PlaceOrder, wish(4, { customer, quantity: 40 }));
  await shop.settled();
  const told = (await shop.ask(ListNotifications, {})).map(
    ({ audience, orderId }) => `${audience} ${orderId.at(-1)}`,
  );
  assert.deepEqual(told.toSorted(), ["eu-office 2", "vip-desk 3", "vip-desk 4"]);
});

test("who watches an order sees its states until the end", async () => {
  await using shop = await testShop();
  const seen: string[] = [];
  const watching = (async () => {
    for await (const { state } of shop.open(WatchOrder, { orderId: wish().orderId }))
      seen.push(state);
  })();
  await shop.send(PlaceOrder, wish());
  await shop.advance(2_000);
  await watching;
  assert.equal(seen.at(-1), "completed");
  assert.ok(seen.includes("shipped"));
});

test("whichever process of ordering moves an order, who watches it at another one sees it", async () => {
  using data = new DataDirectory();
  const orders = new Orders(data);
  const shared = { transport: memory(), logger: { debug() {}, info() {}, warn() {}, error() {} } };
  await using one = await connect({ ...shared, services: orderingOn(orders, new Changes()) });
  await using other = await connect({ ...shared, services: orderingOn(orders, new Changes()) });
  // Each serves who watches in its own process.
  const watching = [one, other].map(async (bus) => {
    const states: string[] = [];
    for await (const { state } of bus.open(WatchOrder, { orderId: wish().orderId }))
      states.push(state);
    return states.at(-1);
  });
  await one.send(PlaceOrder, wish(1, { payWithinMs: 500 }));
  assert.deepEqual(await Promise.all(watching), ["cancelled", "cancelled"]);
});

for (const card of ["good", "declined", "silent"] as const) {
  test(`every command and event delivered twice has one effect: card "${card}"`, async () => {
    await using once = await testShop();
    await using doubled = await testShop({}, { transport: twice(memory()) });
    for (const shop of [once, doubled]) {
      await shop.send(PlaceOrder, wish(1, { card }));
      await shop.advance(120_000);
    }
    // The inbox knows it: not even the saga's rules are asked.
    assert.equal(doubled.handled(PlaceOrder).length, 1);
    assert.equal(await ignoredWishes(doubled), 0);
    assert.ok(doubled.handled(ChargeCard).length > once.handled(ChargeCard).length);
    assert.deepEqual(await tally(doubled), await tally(once));
    assert.deepEqual(await Array.fromAsync(doubled.deadLetters.all()), []);
  });
}

test("a customer who places an order again, while it is under way or after its end, has placed it once", async () => {
  await using shop = await testShop();
  await shop.send(PlaceOrder, wish());
  await shop.settled();
  await shop.send(PlaceOrder, wish(1, { quantity: 7 }));
  await shop.settled();
  assert.equal(await ignoredWishes(shop), 1);
  await shop.advance(120_000);
  await shop.send(PlaceOrder, wish(1, { quantity: 8 }));
  await shop.settled();
  assert.equal(await ignoredWishes(shop), 2);
  assert.equal(await stateOf(shop, wish().orderId), "completed");
  assert.equal((await shop.ask(ListOrders, { visitor: wish().visitor })).length, 1);
  assert.deepEqual(await shop.ask(GetTakings, {}), { payments: 1, cents: 1450, refunds: 0 });
  assert.deepEqual(await Array.fromAsync(shop.deadLetters.all()), []);
});

test("a payment that comes after the timeout moves nothing: stock and money are given back already", async () => {
  await using shop = await testShop();
  const { orderId } = wish();
  await shop.send(PlaceOrder, wish(1, { card: "silent" }));
  await shop.advance(60_000);
  assert.deepEqual(shop.sent(VoidPayment), [{ orderId }]);
  assert.deepEqual(shop.sent(ReleaseStock), [{ orderId }]);
  await shop.publish(PaymentReceived, { orderId, cents: 1_450, attempts: 1 });
  await shop.advance(60_000);
  assert.equal(await stateOf(shop, orderId), "cancelled");
  assert.equal((await shop.ask(CountParcels, {})).parcels, 0);
  assert.deepEqual(await Array.fromAsync(shop.deadLetters.all()), []);
});

async function tally(shop: TestShop) {
  const { steps: _, ...order } = (await shop.ask(GetOrder, { orderId: wish().orderId })) ?? {};
  return {
    order,
    stock: await shop.ask(ListStock, {}),
    takings: await shop.ask(GetTakings, {}),
    parcels: await shop.ask(CountParcels, {}),
    told: (await shop.ask(ListNotifications, {})).length,
  };
}

test("the README shows the way of an order as the saga has it", () => {
  using data = new DataDirectory();
  const readme = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
  const [, diagram] = /```mermaid\n(stateDiagram-v2\n[^]*?\n)```/.exec(readme) ?? [];
  assert.equal(diagram?.trim(), orderProcess(new Orders(data)).diagram().trim());
});
