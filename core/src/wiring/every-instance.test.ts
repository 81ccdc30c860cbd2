import assert from "node:assert/strict";
import { test } from "node:test";
import { event } from "@waybill/contracts";
import * as z from "zod";
import { memory } from "../memory/index.ts";
import { service } from "../service.ts";
import { tested, until, watched } from "../testing.fixture.ts";

const Moved = event("orders.moved", {
  payload: z.object({ id: z.string() }),
  attributes: ({ id }) => ({ id }),
});

/** Keeps what each process heard for itself, and what the processes of the service heard together. */
function orders(own: string[], shared: string[]) {
  return service("orders")
    .on(Moved, ({ id }) => void own.push(id), { everyInstance: true })
    .on(Moved, ({ id }) => void shared.push(id));
}

test("each process of a service gets every event, beside the subscription that they share", async () => {
  const transport = memory();
  const [one, two, shared]: [string[], string[], string[]] = [[], [], []];
  await using first = await tested([orders(one, shared)], { transport });
  await using _ = await tested([orders(two, shared)], { transport });
  for (const id of ["a", "b", "c", "d"]) await first.bus.publish(Moved, { id });
  await until("all are heard", () => one.length + two.length + shared.length === 12);
  assert.deepEqual(
    [one.toSorted(), two.toSorted(), shared.toSorted()],
    [1, 2, 3].map(() => ["a", "b", "c", "d"]),
  );
});

test("a process hears what its rule lets through, from when it has connected, and not for who is gone", async () => {
  const broker = memory();
  const [early, late, shared]: [string[], string[], string[]] = [[], [], []];
  await using first = await tested([orders(early, shared)], { transport: broker });
  await first.bus.publish(Moved, { id: "a" });
  const transport = watched(broker);
  const picky = service("orders").on(Moved, ({ id }) => void late.push(id), {
    everyInstance: true,
    where: { id: { in: ["a", "c"] } },
  });
  await using _ = await tested([picky], { transport });
  for (const id of ["b", "c"]) await first.bus.publish(Moved, { id });
  await until("the later ones", () => late.length > 0 && shared.length === 3);
  assert.deepEqual(late, ["c"]);
  const own = async () =>
    (await first.bus.health()).addresses.filter(({ address }) =>
      /^orders.moved.orders[.]/.test(address),
    );
  assert.equal((await own()).length, 2);
  broker.crash(transport.opened[0]!.instance);
  await first.bus.publish(Moved, { id: "c" });
  await until("it is heard by who lives", () => early.length === 4);
  assert.equal((await own()).length, 1);
  assert.deepEqual(await first.bus.deadLetters.list(), []);
});

test("that is said by explain", async () => {
  await using it = await tested([orders([], [])]);
  const { takers, text } = await it.bus.explain(Moved);
  assert.deepEqual(
    takers.map(({ everyInstance }) => everyInstance),
    [true, false],
  );
  assert.match(text, /by each process for itself, while it runs/);
});
