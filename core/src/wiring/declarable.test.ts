import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event } from "@waybill/contracts";
import * as z from "zod";
import { memory } from "../memory/index.ts";
import { deadLetter } from "../handling/outcome.ts";
import { service } from "../service.ts";
import { tested, until, watched } from "../testing.fixture.ts";

const payload = z.object({ id: z.string() });
const Place = command("orders.place", { input: payload });
const Placed = event("orders.placed", { payload });

test("deadLettersTo: gathers the dead letters of all handlers in one queue, and a replay returns each to its own", async () => {
  let healed = false;
  const seen: string[] = [];
  const orders = service("orders", { sends: [Place], publishes: [Placed] })
    .handle(Place, ({ id }) => (healed ? void seen.push(id) : deadLetter("no")))
    .on(Placed, ({ id }) => (healed ? void seen.push(id) : deadLetter("no")));
  await using it = await tested([orders], { deadLettersTo: "orders.dead-letters" });
  await it.bus.send(Place, { id: "command" });
  await it.bus.publish(Placed, { id: "event" });
  await until("both", async () => (await it.bus.deadLetters.list()).length === 2);
  const letters = await it.bus.deadLetters.list({ address: "orders.dead-letters" });
  const origins = new Set(letters.map(({ origin }) => origin));
  assert.deepEqual(origins, new Set(["orders.place", "orders.placed/orders"]));
  assert.deepEqual(await it.bus.deadLetters.open(letters[0] ?? assert.fail()), { id: "command" });
  assert.match((await it.bus.health()).reasons.join(), /orders\.dead-letters: 2 dead letters/);
  healed = true;
  const { handled, failedAgain } = await it.bus.deadLetters.replayAll();
  assert.deepEqual([handled, failedAgain], [2, 0]);
  assert.deepEqual(seen.toSorted(), ["command", "event"]);
});

test("deadLettersTo: is refused with an illegal name, and where the transport does not forward", async () => {
  const orders = service("orders").handle(Place, () => undefined);
  await assert.rejects(tested([orders], { deadLettersTo: "No Name" }), { code: "OPTION_INVALID" });
  const transport = watched(memory(), ({ capabilities }) => ({
    capabilities: { ...capabilities, forwardHopsMax: 0 },
  }));
  await assert.rejects(tested([orders], { transport, deadLettersTo: "orders.dead-letters" }), {
    code: "NOT_SUPPORTED",
  });
});
