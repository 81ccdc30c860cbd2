import assert from "node:assert/strict";
import { test } from "node:test";
import { type Rule, event } from "@waybill/contracts";
import * as z from "zod";
import { memory } from "../memory/index.ts";
import type { FilterOperator, TransportFactory } from "../ports/transport.ts";
import { service } from "../service.ts";
import { tested, until, watched } from "../testing.fixture.ts";

const Order = z.object({ region: z.string(), total: z.number() });
const Placed = event("orders.placed", { payload: Order, attributes: (order) => order });
const Moved = event("orders.moved", {
  payload: Order,
  attributes: (order) => order,
  key: ({ region }) => region,
});
const rule: Rule<z.infer<typeof Order>> = { region: "EU", total: { gt: 100 } };
const orders = [
  { region: "EU", total: 200 },
  { region: "EU", total: 5 },
  { region: "US", total: 200 },
  { region: "EU", total: 300 },
];

/** A broker that evaluates these operators and hands over every event of the type. */
function narrow(filters: readonly FilterOperator[]): TransportFactory {
  return watched(memory(), (inner) => ({
    capabilities: { ...inner.capabilities, filters },
    declare: (topology) =>
      inner.declare({
        ...topology,
        subscriptions: topology.subscriptions.map((each) => ({
          ...each,
          accepts: each.accepts.map(({ type }) => ({ type })),
        })),
      }),
  }));
}

for (const filters of [[], ["eq"]] as const)
  test(`where the broker evaluates ${filters.join() || "nothing"}, core completes what the rule leaves out, and counts it`, async () => {
    const totals: number[] = [];
    await using it = await tested(
      [
        service("orders", { publishes: [Placed] }).on(
          Placed,
          ({ total }) => void totals.push(total),
          { where: rule },
        ),
      ],
      { transport: narrow(filters) },
    );
    for (const order of orders) await it.bus.publish(Placed, order);
    await until("all are settled", async () => {
      const { handled = 0, filtered = 0 } = await it.counted("orders.placed");
      return handled === 2 && filtered === 2;
    });
    assert.deepEqual(totals, [200, 300]);
    assert.deepEqual(await it.bus.deadLetters.list(), []);
    assert.ok(it.logger.has("info", /applies its rule in this process, because memory does not/));
  });

test("what the broker evaluates is not evaluated again", async () => {
  const seen: number[] = [];
  const transport = watched(memory(), (inner) => ({
    // A rule that stays behind in the broker shows who evaluates.
    declare: (topology) =>
      inner.declare({
        ...topology,
        subscriptions: topology.subscriptions.map((each) => ({
          ...each,
          accepts: each.accepts.map(({ type }) => ({ type })),
        })),
      }),
  }));
  await using it = await tested(
    [
      service("orders", { publishes: [Placed] }).on(Placed, ({ total }) => void seen.push(total), {
        where: rule,
      }),
    ],
    { transport },
  );
  for (const order of orders) await it.bus.publish(Placed, order);
  await until("all", () => seen.length === orders.length);
});

test("what a rule leaves out takes no rate, no lane and no place in a batch", async () => {
  const single: number[] = [];
  const batches: number[][] = [];
  await using it = await tested(
    [
      service("orders", { publishes: [Placed, Moved] })
        .on(Moved, ({ total }) => void single.push(total), {
          where: rule,
          rateLimit: { count: 2, perMs: 60_000, burst: 2 },
        })
        .onBatch(Placed, (items) => void batches.push(items.map(({ value }) => value.total)), {
          where: rule,
          batch: { size: 2, maxAgeMs: 60_000 },
        }),
    ],
    { transport: narrow([]) },
  );
  for (const order of orders) {
    await it.bus.publish(Moved, order);
    await it.bus.publish(Placed, order);
  }
  await until("both", () => single.length === 2 && batches.length === 1);
  assert.deepEqual(single, [200, 300]);
  assert.deepEqual(batches, [[200, 300]]);
});
