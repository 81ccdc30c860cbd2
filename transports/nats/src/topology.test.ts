import assert from "node:assert/strict";
import { test } from "node:test";
import { Names } from "./topology.ts";

const names = new Names("waybill");

test("a queue is a subject that anybody can publish to, and its stream says whose it is", () => {
  assert.equal(names.queueSubject("orders.place"), "waybill.queue.orders.place");
  const stream = names.queueStream("orders.place", false);
  assert.equal(stream, "waybill_queue_orders_place");
  assert.deepEqual(names.read(stream), { kind: "queue", name: "orders.place" });
});

test("names that differ stay apart, whatever they contain, and are read back", () => {
  const all = ["a.b", "a_b", "a=b", "a b", "a/b", "ä.b", "a..b", "a*b", "a>b", "=a_b", "A.b"];
  assert.equal(new Set(all.map((name) => names.queueSubject(name))).size, all.length);
  const streams = all.map((name) => names.queueStream(name, false));
  assert.equal(new Set(streams).size, all.length);
  for (const [index, stream] of streams.entries()) {
    assert.match(stream, /^[A-Za-z0-9=_-]+$/);
    assert.equal(names.read(stream)?.name, all[index]);
  }
});

test("an event goes to every subscription, what goes back to one", () => {
  const event = names.eventSubject("orders", "orders.placed");
  const back = names.returnSubject("orders", "billing.eu", "orders.placed");
  assert.deepEqual(
    ["billing.eu", "billing"].map((name) => [names.isFor(event, name), names.isFor(back, name)]),
    [
      [true, true],
      [true, false],
    ],
  );
  assert.ok(names.isOf(back, ["orders.placed"]) && !names.isOf(back, ["orders.paid"]));
});
