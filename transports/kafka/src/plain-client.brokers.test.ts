import assert from "node:assert/strict";
import { test } from "node:test";
import { Consumer, Producer, stringDeserializers, stringSerializers } from "@platformatic/kafka";
import { type Schema, command, event } from "@waybill/contracts";
import { connect, service } from "@waybill/core";
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
const OrderPlaced = event("orders.placed", { payload: Order, key: ({ id }) => id });
const bootstrapBrokers = [`127.0.0.1:${port}`];

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
  const serializers = stringSerializers;
  const producer = new Producer({ clientId: "plain", bootstrapBrokers, serializers });
  const consumer = new Consumer({
    clientId: "plain",
    bootstrapBrokers,
    groupId: `${corner.prefix}.plain`,
    deserializers: stringDeserializers,
  });
  try {
    const topic = `${corner.prefix}.queue.orders.place`;
    await producer.send({ messages: [{ topic, value: JSON.stringify({ id: "plain" }) }] });
    await until("the event", () => heard.length === 1);
    const topics = [`${corner.prefix}.event.orders.placed`];
    const events = await consumer.consume({ topics, mode: "earliest" });
    for await (const { headers, key, value } of events) {
      assert.equal(headers.get("ce_specversion"), "1.0");
      assert.equal(headers.get("ce_type"), "orders.placed");
      assert.equal(headers.get("content-type"), "application/json");
      assert.deepEqual([key, JSON.parse(value)], ["plain", { id: "plain" }]);
      break;
    }
  } finally {
    await consumer.close(true);
    await producer.close();
  }
  assert.deepEqual(handled, ["plain"]);
});
