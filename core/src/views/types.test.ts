/** What must compile and what must not. The compiler is the test, as in `wiring/types.test.ts`. */
import { test } from "node:test";
import { command, event, query, stream } from "@waybill/contracts";
import * as z from "zod";
import { connect } from "../connect.ts";
import { memory } from "../memory/index.ts";
import type { StoreFactory } from "../ports/store.ts";
import { service } from "../service.ts";
import { view } from "./view.ts";

const store = {} as StoreFactory<{ readonly insert: (text: string) => void }>;

const Row = z.object({
  sku: z.string(),
  name: z.string().optional(),
  cents: z.number().optional(),
});
const Named = event("catalog.named", {
  payload: z.object({ sku: z.string(), name: z.string(), version: z.number() }),
  attributes: ({ name }) => ({ name }),
});
const Priced = event("pricing.priced", {
  payload: z.object({ sku: z.string(), cents: z.number() }),
  key: ({ sku }) => sku,
});
const Moved = stream("stock.moved", {
  item: z.object({ sku: z.string(), by: z.number() }),
  key: ({ sku }) => sku,
});
const Rename = command("catalog.rename", { input: z.object({ sku: z.string() }) });
const GetRow = query("basket.get-row", { input: z.string(), output: Row.nullable() });
const ListNamed = query("catalog.list", {
  input: z.null(),
  output: z.array(z.object({ sku: z.string(), name: z.string(), version: z.number() })),
});

const key = ({ sku }: { readonly sku: string }): string => sku;
const version = ({ version: own }: { readonly version: number }): number => own;
const base = view("products", { store, state: Row, asks: [ListNamed] });
const products = base
  .on(Named, { key, version, where: { name: "tea" } }, (row, { sku, name }) => ({
    ...row,
    sku,
    name,
  }))
  .on(Priced, { key }, async (row, { sku, cents }) => ({ ...row, sku, cents }))
  .consume(Moved, {}, (row, { by }) => (row === undefined || by === 0 ? undefined : row));

function binding(): void {
  // @ts-expect-error the event has no such field
  base.on(Priced, { key: ({ id }) => id }, (row) => row);
  // @ts-expect-error a key is needed
  base.on(Priced, {}, (row) => row);
  // @ts-expect-error a version is a number
  base.on(Named, { key, version: ({ name }) => name }, (row) => row);
  // @ts-expect-error no attribute to filter on
  base.on(Named, { key, version, where: { colour: "red" } }, (row) => row);
  // @ts-expect-error not a row
  base.on(Priced, { key }, (_row, { cents }) => ({ cents }));
  // @ts-expect-error not a row
  base.on(Priced, { key }, () => "tea");
  // @ts-expect-error there may be no row
  base.on(Priced, { key }, (row) => ({ sku: row.sku }));
  // @ts-expect-error a command keeps no view
  base.on(Rename, { key }, (row) => row);
  // @ts-expect-error an event is not consumed
  base.consume(Priced, {}, (row) => row);
  // @ts-expect-error it needs a store
  view("products", { state: Row });
  // @ts-expect-error an option that does not exist
  view("products", { store, state: Row, publishes: [Named] });
}

function backfills(): void {
  products.backfill([Named], async function* ({ ask }) {
    for (const value of await ask(ListNamed, null)) yield { contract: Named, value };
    // @ts-expect-error it is not declared
    await ask(GetRow, "tea");
  });
  // @ts-expect-error it does not keep the view
  products.backfill([Rename], async function* () {});
  // @ts-expect-error the payload of another event
  products.backfill([Named], async function* () {
    yield { contract: Named, value: { sku: "tea", cents: 1 } };
  });
}

async function reading(): Promise<void> {
  const others = view("others", { store, state: z.number() });
  const basket = service("basket", { views: [products], publishes: [Priced], store })
    .answer(GetRow, async (sku, context) => {
      const row = await context.view(products).get(sku);
      // @ts-expect-error it is not declared
      await context.view(others).get(sku);
      // @ts-expect-error no part of a row
      void row?.colour;
      return row ?? null;
    })
    .handle(Rename, async ({ sku }, { view: look, transaction }) => {
      const { rows, next } = await look(products).list({ where: ({ cents }) => cents === 1 });
      transaction.insert(rows[0]?.row.name ?? next ?? sku);
    });
  service("plain").answer(GetRow, async (sku, context) => {
    // @ts-expect-error it declares no views
    await context.view(products).get(sku);
    return null;
  });
  // @ts-expect-error a service is no view
  service("basket", { views: [service("other")] });
  const bus = await connect({ transport: memory(), services: [products, basket] });
  const token = await bus.publish(Priced, { sku: "tea", cents: 1 });
  await bus.views().waitFor(products, token, { deadlineMs: 100 });
  await bus.views(products).waitFor(token);
  const cents: number | undefined = (await bus.views(products).get("tea"))?.cents;
  // @ts-expect-error a service is no view
  bus.views(basket);
  void cents;
}

test("the types of views hold", () => {
  void [binding, backfills, reading];
});
