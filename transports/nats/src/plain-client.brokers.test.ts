import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, command, event } from "@waybill/contracts";
import { connect, service } from "@waybill/core";
import { connect as connectPlain } from "@nats-io/transport-node";
import { Corner, port, until } from "./corner.test.support.ts";

type Order = { readonly id: string };

const Order: Schema<Order> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) =>
      typeof Object(value).id === "string"
        ? { value: value as Order }
        : { issues: [{ message: "must have an id", path: ["id"] }] },
  },
};

const PlaceOrder = command("orders.place", { input: Order });
const OrderPlaced = event("orders.placed", { payload: Order });

test("a client without Waybill sends plain JSON, and reads an event as CloudEvents' binding has it", async () => {
  await using corner = new Corner();
  const handled: string[] = [];
  const heard: string[] = [];
  const ordering = service("ordering", { publishes: [OrderPlaced] }).handle(
    PlaceOrder,
    async (order, context) => {
      handled.push(order.id);
      await context.publish(OrderPlaced, order);
    },
  );
  const shipping = service("shipping").on(OrderPlaced, ({ id }) => void heard.push(id));
  await using _ = await connect({ ...corner.options, services: [ordering, shipping] });
  await using plain = await connectPlain({ servers: `127.0.0.1:${port}` });
  const events = plain.subscribe(`${corner.prefix}.event.*.all.orders.placed`, { max: 1 });
  const subject = `${corner.prefix}.queue.orders.place`;
  const answer = await plain.request(subject, JSON.stringify({ id: "plain" }));
  assert.equal(typeof answer.json<{ seq: number }>().seq, "number");
  for await (const { headers, data } of events) {
    assert.equal(headers?.get("ce-specversion"), "1.0");
    assert.equal(headers?.get("ce-type"), "orders.placed");
    assert.deepEqual(JSON.parse(Buffer.from(data).toString()), { id: "plain" });
  }
  await until("the event", () => heard.length === 1);
  assert.deepEqual(handled, ["plain"]);
});
