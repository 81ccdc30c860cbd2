import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { type Schema, command, event, query } from "@waybill/contracts";
import { memory, service } from "@waybill/core";
import { testBus } from "./test-bus.ts";

const anything: Schema<{ id: string }> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => ({ value: value as { id: string } }),
  },
};
const Place = command("ordering.place", { input: anything });
const Cancel = command("ordering.cancel", { input: anything });
const Placed = event("ordering.placed", { payload: anything });
const GetPrice = query("pricing.get-price", { input: anything, output: anything });

test("settled() waits for every handler that can run, and what left is recorded", async () => {
  const ordering = service("ordering", { publishes: [Placed] }).handle(
    Place,
    async (order, context) => {
      await context.publish(Placed, order);
    },
  );
  const seen: string[] = [];
  const notes = service("notes").on(Placed, async ({ id }) => {
    await readFile(import.meta.filename); // real input and output, of unknown length
    seen.push(id);
  });
  await using bus = await testBus([ordering, notes]);
  await bus.send(Place, { id: "o-1" });
  await bus.settled();
  assert.deepEqual(seen, ["o-1"]);
  assert.deepEqual(bus.sent(Place), [{ id: "o-1" }]);
  assert.deepEqual(bus.published(Placed), [{ id: "o-1" }]);
  assert.deepEqual(
    bus.handled(Placed).map(({ service: name, state, attempt }) => ({ name, state, attempt })),
    [{ name: "notes", state: "returned", attempt: 1 }],
  );
});

test("what a failed handler held never counts as published", async () => {
  const ordering = service("ordering", { publishes: [Placed] }).handle(
    Place,
    async (order, context) => {
      await context.publish(Placed, order);
      throw new Error("out of paper");
    },
    { retry: { attempts: 2, immediate: 0, delayMs: 60_000 } },
  );
  await using bus = await testBus([ordering]);
  await bus.send(Place, { id: "o-1" });
  await bus.settled();
  assert.equal(bus.handled(Place).length, 1);
  await bus.advance(60_000);
  assert.equal(bus.handled(Place).length, 2);
  assert.deepEqual(bus.published(Placed), []);
  assert.equal((await bus.dead(Place))[0]?.failure?.message, "out of paper");
  assert.ok(
    bus.log.some(({ level, message }) => level === "error" && message.includes("dead letters")),
  );
});

test("time moves only when the test moves it: a delayed command comes exactly then", async () => {
  const ordering = service("ordering", { sends: [Cancel] })
    .handle(
      Place,
      async (order, context) => void (await context.send(Cancel, order, { delayMs: 30 * 60_000 })),
    )
    .handle(Cancel, async () => undefined);
  await using bus = await testBus([ordering]);
  await bus.send(Place, { id: "o-1" });
  await bus.advance(30 * 60_000 - 1);
  assert.equal(bus.handled(Cancel).length, 0);
  await bus.advance(1);
  assert.equal(bus.handled(Cancel).length, 1);
});

test("a handler that sleeps or asks is at rest, so settled() does not hang on it", async () => {
  const ordering = service("ordering", { asks: [GetPrice] })
    .handle(Place, async (_order, context) => context.sleep(5_000))
    .handle(
      Cancel,
      async (order, context) => void (await context.ask(GetPrice, order, { timeoutMs: 2_000 })),
      {
        retry: { attempts: 1, immediate: 0 },
      },
    );
  await using bus = await testBus([ordering]);
  await bus.send(Place, { id: "o-1" });
  await bus.send(Cancel, { id: "o-1" });
  await bus.settled();
  assert.equal(bus.handled(Place)[0]?.state, "running");
  await bus.advance(5_000);
  assert.equal(bus.handled(Place)[0]?.state, "returned");
  assert.equal((await bus.dead(Cancel))[0]?.failure?.reason, "DEADLINE_EXCEEDED");
});

test("kinds may be split over brokers, and what leaves over each is recorded", async () => {
  const heard: string[] = [];
  const ordering = service("ordering", { publishes: [Placed] })
    .handle(Place, async (order, context) => {
      await context.publish(Placed, order);
    })
    .on(Placed, ({ id }) => void heard.push(id))
    .answer(GetPrice, (price) => price);
  const commands = memory();
  const transport = { commands, queries: commands, events: memory() };
  await using bus = await testBus([ordering], { transport });
  await bus.send(Place, { id: "o-1" }, { delayMs: 60_000 });
  await bus.settled();
  assert.deepEqual(heard, []);
  await bus.advance(60_000);
  assert.deepEqual(heard, ["o-1"]);
  assert.deepEqual([bus.sent(Place), bus.published(Placed)], [[{ id: "o-1" }], [{ id: "o-1" }]]);
  assert.deepEqual(
    bus.transports.map(({ kinds }) => kinds),
    [["command", "query"], ["event"]],
  );
});
