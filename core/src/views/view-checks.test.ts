import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, event, stream } from "@waybill/contracts";
import type { StoreFactory } from "../ports/store.ts";
import { checkView } from "./view-checks.ts";
import { type View, view } from "./view.ts";

interface Named {
  readonly sku: string;
  readonly version: number;
}
const any: Schema<any> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) },
};
const store = { open: () => undefined } as unknown as StoreFactory;
const Plain = event("catalog.plain", { payload: any });
const Keyed = event("catalog.keyed", { payload: any, key: ({ sku }) => sku });
const Log = stream("catalog.log", { item: any, key: ({ sku }) => sku });
const key = ({ sku }: Named): string => sku;
const version = ({ version: own }: Named): number => own;
const keep = (row: unknown): unknown => row;
const base = view("products", { store, state: any });

function faultsOf(made: View): string {
  try {
    checkView(made);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

test("a view whose messages have an order is taken: by version, by key, by partition, or because it does not matter", () => {
  for (const made of [
    base.on(Plain, { key, version }, keep),
    base.on(Plain, { key, commutes: true }, keep),
    base.on(Keyed, { key }, keep),
    base.consume(Log, {}, keep),
    base.consume(Log, { key, version }, keep),
    base
      .on(Plain, { key, version, sequence: "product" }, keep)
      .backfill([Plain], async function* () {}),
  ])
    assert.equal(faultsOf(made), "");
});

test("what could leave a row wrong, or cannot work, is refused with a remedy", () => {
  const cases: readonly (readonly [View, RegExp])[] = [
    [base, /Nothing keeps the view "products"/],
    [
      base.on(Plain, { key }, keep),
      /"catalog.plain".*has no order.*version.*give the event a key.*commutes/,
    ],
    [base.consume(Log, { key }, keep), /"catalog.log".*has no order.*leave out the key/],
    [base.on(Plain, { version } as never, keep), /has no `key`/],
    [base.on(Plain, { key, version: 7 as never }, keep), /version .* is no function/],
    [base.on(Plain, { key, commutes: "yes" as never }, keep), /commutes .* is "yes"/],
    [base.on(Plain, { key, version, sequence: "Not Legal" }, keep), /sequence "Not Legal"/],
    [base.on(Keyed, { key, sequence: "product" }, keep), /names a sequence and has no version/],
    [base.on(Plain, { key, version }, undefined as never), /has no reducer/],
    [
      view("products", { store, state: 7 as unknown as typeof any }).on(Keyed, { key }, keep),
      /no Standard Schema/,
    ],
    [view("products", { state: any } as never).on(Keyed, { key }, keep), /has no store/],
    [base.on(Keyed, { key }, keep).backfill([Keyed], async function* () {}), /has no version/],
    [
      base.on(Keyed, { key }, keep).backfill([Plain as never], async function* () {}),
      /does not keep the view/,
    ],
    [base.on(Keyed, { key }, keep).backfill([], async function* () {}), /names no contracts/],
    [base.on(Plain, { key, version }, keep).backfill([Plain], 7 as never), /no generator/],
  ];
  for (const [made, fault] of cases) assert.match(faultsOf(made), fault);
});
