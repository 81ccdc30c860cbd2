import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, command, event, stream } from "@waybill/contracts";
import { connect, memory, service } from "@waybill/core";
import { folder, silent, until } from "./fixture.test.support.ts";
import { embedded } from "./index.ts";

type Order = { readonly id: string };

const Order: Schema<Order> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as Order }) },
};

const Place = command("ordering.place", { input: Order });
const Placed = event("ordering.placed", { payload: Order });
const Log = stream("ordering.log", { item: Order, key: ({ id }) => id });

test("commands wait on the disk while their events go through memory, and both sides keep their books", async (context) => {
  const directory = folder(context);
  const events = memory();
  const transport = { default: embedded({ directory }), events };
  const heard: string[] = [];
  const logged: string[] = [];
  const sender = service("sender", { sends: [Place] });
  const ordering = service("ordering", { publishes: [Placed], appends: [Log] }).handle(
    Place,
    async (order, { publish, append }) => {
      await publish(Placed, order);
      await append(Log, order);
    },
  );
  const mailing = service("mailing")
    .on(Placed, ({ id }) => void heard.push(id))
    .consume(Log, ({ id }) => void logged.push(id));
  const count = 200;
  {
    await using bus = await connect({ transport, services: [sender], logger: silent });
    assert.deepEqual(bus.transports.length, 1);
    for (let index = 0; index < count; index++) await bus.send(Place, { id: `${index}` });
  }
  await using bus = await connect({ transport, services: [ordering, mailing], logger: silent });
  await until("all came", () => heard.length === count && logged.length === count);
  assert.deepEqual([new Set(heard).size, new Set(logged).size], [count, count]);
  const { transports, status } = await bus.health();
  assert.equal(status, "up");
  assert.deepEqual(
    transports.map(({ name, kinds, durability }) => [name, kinds, durability]),
    [
      ["embedded", ["command", "stream"], "power-loss"],
      ["memory", ["event"], "memory"],
    ],
  );
  await until("the books are closed", async () => {
    const { entries } = await bus.ledger();
    return entries.every(({ waiting }) => waiting.ready + waiting.inFlight === 0);
  });
  const { balanced, entries } = await bus.ledger();
  assert.equal(balanced, true);
  const of = (address: string): number | undefined =>
    entries.find((each) => each.address === address)?.completed;
  assert.deepEqual([Place.name, `${Placed.name}/mailing`, `${Log.name}@mailing`].map(of), [
    count,
    count,
    count,
  ]);
  assert.equal(bus.capabilities.durability, "memory");
});
