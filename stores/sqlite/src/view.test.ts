import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, command, event, query } from "@waybill/contracts";
import { service, view } from "@waybill/core";
import { testBus } from "@waybill/testkit";
import { sqlite } from "./index.ts";

function schema<Value>(): Schema<Value> {
  return {
    "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as Value }) },
  };
}

interface Named {
  readonly sku: string;
  readonly name: string;
  readonly version: number;
}
interface Priced {
  readonly sku: string;
  readonly cents: number;
  readonly version: number;
}
interface Product {
  readonly sku: string;
  readonly name?: string;
  readonly cents?: number;
}

const ProductChanged = event("catalog.product-changed", { payload: schema<Named>() });
const ProductRemoved = event("catalog.product-removed", {
  payload: schema<{ sku: string; version: number }>(),
});
const PriceChanged = event("pricing.price-changed", { payload: schema<Priced>() });
const Rename = command("catalog.rename", { input: schema<Named>() });
const GetBasket = query("basket.get", {
  input: schema<{ sku: string }>(),
  output: schema<Product | null>(),
});

const versioned = { key: ({ sku }: { sku: string }) => sku, version: byVersion };
function byVersion({ version }: { version: number }): number {
  return version;
}

const file = ":memory:";
const products = () =>
  view("basket-products", { store: sqlite({ file }), state: schema<Product>() })
    .on(ProductChanged, { ...versioned, sequence: "product" }, (row, { sku, name }) => ({
      ...row,
      sku,
      name,
    }))
    .on(ProductRemoved, { ...versioned, sequence: "product" }, () => undefined)
    .on(PriceChanged, versioned, (row, { sku, cents }) => ({ ...row, sku, cents }));

const owners = service("owners", {
  publishes: [ProductChanged, ProductRemoved, PriceChanged],
}).handle(Rename, async (product, { publish }) => void (await publish(ProductChanged, product)));

test("rows come together from several events, in whatever order they come, and are read by handlers that declare them", async () => {
  const kept = products();
  const basket = service("basket", { views: [kept] }).answer(
    GetBasket,
    async ({ sku }, context) => (await context.view(kept).get(sku)) ?? null,
  );
  await using bus = await testBus([kept, owners, basket]);
  await bus.publish(PriceChanged, { sku: "tea", cents: 300, version: 2 });
  await bus.publish(PriceChanged, { sku: "tea", cents: 100, version: 1 });
  await bus.publish(ProductChanged, { sku: "tea", name: "Tea", version: 1 });
  await bus.publish(ProductChanged, { sku: "mug", name: "Mug", version: 1 });
  await bus.publish(ProductRemoved, { sku: "mug", version: 3 });
  await bus.publish(ProductChanged, { sku: "mug", name: "Old mug", version: 2 });
  await bus.settled();
  assert.deepEqual(await bus.ask(GetBasket, { sku: "tea" }), {
    sku: "tea",
    name: "Tea",
    cents: 300,
  });
  assert.equal(await bus.ask(GetBasket, { sku: "mug" }), null);
  const { rows } = await bus.views(kept).list();
  assert.deepEqual(
    rows.map(({ key }) => key),
    ["tea"],
  );
  const status = await bus.views(kept).status();
  assert.deepEqual(
    status.sources.map(({ contract, applied, waiting }) => [contract, applied, waiting]),
    [
      ["catalog.product-changed", 3, 0],
      ["catalog.product-removed", 1, 0],
      ["pricing.price-changed", 2, 0],
    ],
  );
  assert.deepEqual((await bus.health()).views, [status]);
  assert.equal((await bus.health()).contracts["pricing.price-changed"]?.ignored, 1);
});
