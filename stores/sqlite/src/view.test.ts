import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { embedded } from "@waybill/broker";
import { type Schema, command, event, query, stream } from "@waybill/contracts";
import { type Bus, type View, connect, service, view } from "@waybill/core";
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

interface Counted {
  readonly key: string;
  readonly count: number;
}
const Log = stream("kept.log", { item: schema<Counted>(), key: ({ key }) => key, partitions: 4 });

test("a changed reducer has all rows anew from a stream of the embedded broker: two processes, over a restart, while items are appended", async (context) => {
  const directory = mkdtempSync(join(tmpdir(), "waybill-view-"));
  context.after(() => rmSync(directory, { recursive: true }));
  const opened: Bus[] = [];
  const open = async (factor: number): Promise<{ kept: View<readonly number[]>; bus: Bus }> => {
    const kept = view("counts", {
      store: sqlite({ file: join(directory, "store.db") }),
      state: schema<readonly number[]>(),
    }).consume(Log, {}, (row = [], { count }) => [...row, count * factor]);
    const services = [kept, service("log", { appends: [Log] })];
    const bus: Bus = await connect({ transport: embedded({ directory }), services });
    opened.push(bus);
    return { kept, bus };
  };
  const keys = 10;
  const half = 200;
  const append = async (bus: Bus, from: number): Promise<{ readonly id: string }[]> => {
    const all: { readonly id: string }[] = [];
    for (let count = from; count < from + half; count++)
      all.push(await bus.append(Log, { key: `k-${count % keys}`, count }));
    return all;
  };
  try {
    const before = await open(1);
    const first = await append(before.bus, 0);
    for (const token of first)
      await before.bus.views(before.kept).waitFor(token, { deadlineMs: 30_000 });
    await before.bus.close();
    const { kept, bus } = await open(2);
    await open(2);
    const look = bus.views(kept);
    assert.deepEqual((await look.get("k-3"))?.slice(0, 2), [3, 13]);
    const rebuilding = look.rebuild({ deadlineMs: 30_000 });
    const second = await append(bus, half);
    assert.equal((await rebuilding).generation, 2);
    for (const token of second) await look.waitFor(token, { deadlineMs: 30_000 });
    for (let key = 0; key < keys; key++)
      assert.deepEqual(
        await look.get(`k-${key}`),
        Array.from({ length: (2 * half) / keys }, (_, index) => (index * keys + key) * 2),
      );
  } finally {
    for (const bus of opened) await bus.close();
  }
});
