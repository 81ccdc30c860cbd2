import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, event, stream } from "@waybill/contracts";
import { type StoreFactory, view } from "@waybill/core";
import { playView } from "./play-view.ts";

interface Priced {
  readonly sku: string;
  readonly cents: number;
  readonly version: number;
}
const priced: Schema<Priced> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) =>
      typeof (value as Priced).cents === "number"
        ? { value: value as Priced }
        : { issues: [{ message: "has no cents" }] },
  },
};
const any: Schema<any> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) },
};
const PriceChanged = event("pricing.price-changed", { payload: priced });
const Withdrawn = event("pricing.withdrawn", { payload: priced });
const Sold = stream("shop.sold", { item: any, key: ({ sku }) => sku });
const options = {
  key: ({ sku }: Priced) => sku,
  version: ({ version }: Priced) => version,
  sequence: "price",
};
const store = { open: () => undefined } as unknown as StoreFactory;
const prices = view("prices", { store, state: any })
  .on(PriceChanged, options, (row, { cents }) => ({ ...row, cents }))
  .on(Withdrawn, options, () => undefined)
  .consume(Sold, {}, (row = {}) => ({ ...row, sold: (row.sold ?? 0) + 1 }));

const at = (version: number, cents = version): Priced => ({ sku: "tea", cents, version });

test("a view is played message by message: changed, stale, removed; from where it stands into several directions", async () => {
  const play = playView(prices).given(PriceChanged, at(2, 300)).given(Sold, { sku: "mug" });
  const older = await play.when(PriceChanged, at(1, 100));
  assert.deepEqual(older, {
    outcome: "stale",
    key: "tea",
    row: { cents: 300 },
    rows: { tea: { cents: 300 }, mug: { sold: 1 } },
  });
  const sold = await play.when(Sold, { sku: "tea" });
  assert.deepEqual([sold.outcome, sold.row], ["changed", { cents: 300, sold: 1 }]);
  const gone = play.given(Withdrawn, at(5));
  assert.deepEqual((await gone.when(PriceChanged, at(4))).rows, { mug: { sold: 1 } });
  assert.equal((await play.when(Withdrawn, at(5))).outcome, "removed");
  assert.deepEqual((await gone.when(PriceChanged, at(6, 1))).row, { cents: 1 });
});

test("what would not reach a row on the bus rejects here", async () => {
  const play = playView(prices);
  await assert.rejects(play.when(PriceChanged, { ...at(1), cents: "1" as never }), {
    code: "MESSAGE_INVALID",
  });
  await assert.rejects(play.when(PriceChanged, at(1.5)), { message: /version .* whole number/ });
  await assert.rejects(play.when(PriceChanged, { ...at(1), sku: "" }), { message: /key of a row/ });
  const Other = event("pricing.other", { payload: priced });
  await assert.rejects(play.given(Other, at(1)).when(PriceChanged, at(2)), {
    code: "CONTRACT_NOT_DECLARED",
  });
  assert.throws(() => playView(view("prices", { store, state: any })), { code: "WIRING_INVALID" });
});
