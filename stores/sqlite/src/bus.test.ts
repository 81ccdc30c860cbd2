import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { type TestContext, test } from "node:test";
import { type Schema, command, event } from "@waybill/contracts";
import { connect, memory, service } from "@waybill/core";
import { sqlite } from "./index.ts";

const anything: Schema<{ id: string }> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => ({ value: value as { id: string } }),
  },
};
const PlaceOrder = command("ordering.place-order", { input: anything });
const OrderPlaced = event("ordering.order-placed", { payload: anything });

function file(context: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "waybill-sqlite-"));
  context.after(() => rmSync(directory, { recursive: true }));
  return join(directory, "orders.db");
}

test("a handler writes and publishes in one transaction of its service's own file", async (context) => {
  const path = file(context);
  const orders = sqlite({ file: path });
  const setup = new DatabaseSync(path);
  setup.exec("create table orders (id text primary key) strict");
  const placed: string[] = [];
  const seen = Promise.withResolvers<void>();
  const ordering = service("ordering", { publishes: [OrderPlaced], store: orders }).handle(
    PlaceOrder,
    async ({ id }, { transaction, publish }) => {
      transaction.prepare("insert into orders (id) values (?)").run(id);
      await publish(OrderPlaced, { id });
    },
  );
  const mailing = service("mailing").on(OrderPlaced, ({ id }) => {
    placed.push(id);
    if (placed.length === 2) seen.resolve();
  });
  {
    await using bus = await connect({ transport: memory(), services: [ordering, mailing] });
    await bus.send(PlaceOrder, { id: "o-1" }, { id: "a" });
    await bus.send(PlaceOrder, { id: "o-2" }, { id: "a" });
    await bus.transaction(orders, async ({ client, publish }) => {
      client.prepare("insert into orders (id) values (?)").run("o-3");
      await publish(OrderPlaced, { id: "o-3" });
    });
    await seen.promise;
  }
  assert.deepEqual(
    setup
      .prepare("select id from orders order by id")
      .all()
      .map((row) => row["id"]),
    ["o-1", "o-3"],
  );
  assert.deepEqual(placed.toSorted(), ["o-1", "o-3"]);
  assert.equal(setup.prepare("select count(*) as n from waybill_outbox").get()?.["n"], 0);
  setup.close();
});
