import assert from "node:assert/strict";
import { test } from "node:test";
import { testBus } from "@waybill/testkit";
import { service } from "waybill";
import { GetBasket, ListGoods } from "../contracts/basket.ts";
import { GetCheckout, ListOffers } from "../contracts/checkout.ts";
import { ListStock } from "../contracts/inventory.ts";
import { GetOrder } from "../contracts/ordering.ts";
import { visitor, wish } from "../testing.fixture.ts";
import { checkout } from "./service.ts";

const { orderId } = wish();
const mug = { sku: "mug", name: "Enamel mug", description: "Falls off tables", cents: 1_450 };
const map = { sku: "map", name: "Folding map", description: "Every footpath", cents: 1_200 };
const lines = [
  { sku: "mug", quantity: 3, cents: 1_450 },
  { sku: "map", quantity: 1, cents: 1_200 },
];

function fails(): never {
  throw new Error("It is down.");
}

const basket = service("basket")
  .answer(ListGoods, () => [mug, map])
  .answer(GetBasket, () => ({ visitor, revision: 1, lines, totalCents: 5_550 }));
const inventory = service("inventory").answer(ListStock, () => [
  { sku: "mug", free: 2, held: 0 },
  { sku: "map", free: 9, held: 0 },
]);
const ordering = service("ordering").answer(GetOrder, () => null);

test("the checkout puts together what three services know", async () => {
  await using bus = await testBus([checkout, basket, inventory, ordering]);
  assert.deepEqual(await bus.ask(ListOffers, {}), [
    { ...mug, free: 2 },
    { ...map, free: 9 },
  ]);
  const found = await bus.ask(GetCheckout, { visitor, orderId });
  assert.deepEqual(found, { lines, isPlaced: false, short: ["mug"] });
});

test("without inventory and ordering it goes on, and says what it does not know", async () => {
  const others = [
    service("inventory").answer(ListStock, fails),
    service("ordering").answer(GetOrder, fails),
  ];
  await using bus = await testBus([checkout, basket, ...others]);
  assert.deepEqual(await bus.ask(ListOffers, {}), [
    { ...mug, free: null },
    { ...map, free: null },
  ]);
  const found = await bus.ask(GetCheckout, { visitor, orderId });
  assert.deepEqual(found, { lines, isPlaced: null, short: null });
});

test("without the basket there is nothing to sell", async () => {
  const down = service("basket").answer(ListGoods, fails).answer(GetBasket, fails);
  await using bus = await testBus([checkout, down, inventory, ordering]);
  await assert.rejects(bus.ask(ListOffers, {}), { code: "ANSWER_FAILED" });
  await assert.rejects(bus.ask(GetCheckout, { visitor, orderId }), { code: "ANSWER_FAILED" });
});
