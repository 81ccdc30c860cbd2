/** What must compile and what must not. The compiler is the test. */
import { test } from "node:test";
import { type Schema, event, stream } from "@waybill/contracts";
import type { BusOf } from "@waybill/core";
import { capture, captured } from "./index.ts";

interface Product {
  readonly id: string;
  readonly cents: number;
  readonly note: string | null;
}
declare const Product: Schema<Product>;

function captures(): void {
  const Changed = event("types.changed", { payload: Product });
  const Items = stream("types.items", { item: Product, key: ({ id }) => id });
  const Other = event("types.other", { payload: Product });
  const columns = { id: "text", cents: "number", note: "text?" } as const;
  const whole = captured("products", {
    columns,
    event: Changed,
    map: (change) => ("row" in change ? change.row : undefined),
  });
  const items = captured("products", { columns, stream: Items, map: () => undefined });
  captured("products", {
    columns,
    event: Changed,
    mayBeAbsent: ["note"],
    // @ts-expect-error -- a column that may be absent is undefined
    map: (change) => (change.kind === "insert" ? change.row : undefined),
  });
  captured("products", {
    columns: { id: "text?", cents: "number", note: "text?" },
    event: Changed,
    // @ts-expect-error -- an id that may be NULL is no id
    map: (change) => (change.kind === "insert" ? change.row : undefined),
  });
  captured("products", {
    columns,
    event: Changed,
    // @ts-expect-error -- a deleted row is not there
    map: (change) => change.row,
  });
  // @ts-expect-error -- no such type of a column
  captured("products", { columns: { id: "integer" }, event: Changed, map: () => undefined });
  // @ts-expect-error -- no such column
  captured("products", { columns, event: Changed, mayBeAbsent: ["more"], map: () => undefined });
  const made = capture("types", { url: "postgres://x/y", tables: [whole, items] });
  const speaks = async (bus: BusOf<typeof made>, product: Product): Promise<void> => {
    await bus.publish(Changed, product);
    await bus.append(Items, product);
    // @ts-expect-error -- the capture does not publish it
    await bus.publish(Other, product);
  };
  void speaks;
}

test("captures are typed from their columns to what they publish", () => {
  void captures;
});
