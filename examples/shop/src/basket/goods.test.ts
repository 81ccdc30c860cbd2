import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import { playView } from "@waybill/testkit";
import { connect, memory, service } from "waybill";
import { GetBasket, ListGoods, SetLine } from "../contracts/basket.ts";
import { ChangeProduct, ListProducts, ProductChanged } from "../contracts/catalog.ts";
import { PriceChanged, SetPrice } from "../contracts/pricing.ts";
import { DataDirectory } from "../database.ts";
import { fillViews } from "../fill.ts";
import { services } from "../services.ts";
import { testShop, twice, visitor } from "../testing.fixture.ts";
import { goodsIn } from "./goods.ts";

const mug = { sku: "mug", name: "Enamel mug", description: "Falls off tables, survives" };
const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const patient = { timeoutMs: 60_000 };

function priceIn(goods: readonly { sku: string; cents: number }[], sku: string) {
  return goods.find((each) => each.sku === sku)?.cents;
}

function versionsOf(changes: readonly { version: number }[]) {
  return changes.map(({ version }) => version);
}

test("the basket knows products and prices while catalog and pricing are down, and takes what is put into it", async () => {
  using data = new DataDirectory();
  const shared = { transport: memory(), logger: quiet };
  const page = service("page", { asks: [ListGoods, GetBasket, ListProducts], sends: [SetLine] });
  const kept = services.basket(data);
  await using basket = await connect({ ...shared, services: [...kept, page] });
  {
    await using owners = await connect({
      ...shared,
      services: [services.catalog(data), services.pricing(data)],
    });
    await fillViews(basket, kept, new AbortController().signal);
    await basket.views(kept[0]).waitFor(await owners.send(SetPrice, { sku: "mug", cents: 1_500 }));
  }
  await assert.rejects(basket.ask(ListProducts, {}, { timeoutMs: 50 }));

  const goods = await basket.ask(ListGoods, {}, patient);
  assert.equal(goods.length, 8);
  assert.deepEqual(
    goods.find(({ sku }) => sku === "mug"),
    { ...mug, cents: 1_500 },
  );
  await basket.send(SetLine, { visitor, sku: "mug", quantity: 2 });
  let found = await basket.ask(GetBasket, { visitor }, patient);
  while (found.lines.length === 0) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    found = await basket.ask(GetBasket, { visitor }, patient);
  }
  assert.equal(found.totalCents, 3_000);
});

test("a view that is filled asks its owners no more when it starts again", async () => {
  using data = new DataDirectory();
  const shared = { transport: memory(), logger: quiet };
  const owners = [services.catalog(data), services.pricing(data)];
  const { signal } = new AbortController();
  for (const others of [owners, []]) {
    const kept = services.basket(data);
    await using bus = await connect({ ...shared, services: [...kept, ...others] });
    await fillViews(bus, kept, signal);
    assert.equal((await bus.views(kept[0]).status()).generation, 2);
  }
});

test("a change reaches the basket once, whichever of both owners speaks first", async () => {
  await using shop = await testShop();
  const lamp = { sku: "lamp", name: "Lamp", description: "For the tent" };
  await shop.send(SetPrice, { sku: "lamp", cents: 700 });
  await shop.settled();
  assert.equal(priceIn(await shop.ask(ListGoods, {}), "lamp"), undefined);
  await shop.send(ChangeProduct, lamp);
  await shop.send(ChangeProduct, lamp);
  await shop.send(SetPrice, { sku: "lamp", cents: 800 });
  await shop.send(SetPrice, { sku: "lamp", cents: 800 });
  await shop.settled();
  assert.deepEqual(
    (await shop.ask(ListGoods, {})).find(({ sku }) => sku === "lamp"),
    { ...lamp, cents: 800 },
  );
  // The catalog tells it in the transaction of the change. Pricing has no store: what it is told twice it says twice, with the same version.
  assert.deepEqual(versionsOf(shop.published(ProductChanged)), [2]);
  assert.deepEqual(versionsOf(shop.published(PriceChanged)), [2, 3, 3]);
});

test("with every command and event delivered twice, each change makes one version, and the basket has the last", async () => {
  await using shop = await testShop({}, { transport: twice(memory()) });
  await shop.send(ChangeProduct, { ...mug, name: "Mug" });
  await shop.settled();
  await shop.send(ChangeProduct, mug);
  await shop.send(SetPrice, { sku: "mug", cents: 1_500 });
  await shop.settled();
  // Its second delivery is known to the inbox and runs nothing.
  assert.equal(shop.handled(ChangeProduct).length, 2);
  assert.deepEqual(
    (await shop.ask(ListProducts, {})).find(({ sku }) => sku === "mug"),
    { ...mug, version: 3 },
  );
  assert.deepEqual(
    (await shop.ask(ListGoods, {})).find(({ sku }) => sku === "mug"),
    { ...mug, cents: 1_500 },
  );
});

test("a price that comes twice or after a newer one changes nothing, in the view and in what is put into the basket", async () => {
  await using shop = await testShop();
  const newest = { sku: "mug", cents: 1_700, version: 4 };
  const older = { sku: "mug", cents: 1_600, version: 3 };
  for (const price of [newest, older, newest, older]) await shop.publish(PriceChanged, price);
  await shop.settled();
  assert.equal(priceIn(await shop.ask(ListGoods, {}), "mug"), 1_700);
  await shop.send(SetLine, { visitor, sku: "mug", quantity: 1 });
  await shop.settled();
  assert.equal((await shop.ask(GetBasket, { visitor })).totalCents, 1_700);
});

test("the versions of a name and of a price do not get in each other's way", async () => {
  using data = new DataDirectory();
  const play = playView(goodsIn(data.store(`goods-${randomUUID()}`)))
    .given(PriceChanged, { sku: "mug", cents: 1_700, version: 9 })
    .given(ProductChanged, { ...mug, version: 2 });
  const late = await play.when(PriceChanged, { sku: "mug", cents: 1, version: 8 });
  assert.equal(late.outcome, "stale");
  const renamed = await play.when(ProductChanged, { ...mug, name: "Mug", version: 3 });
  assert.deepEqual(renamed.row, {
    product: { name: "Mug", description: mug.description },
    cents: 1_700,
  });
});
