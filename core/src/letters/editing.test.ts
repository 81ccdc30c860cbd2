import assert from "node:assert/strict";
import { test } from "node:test";
import { command } from "@waybill/contracts";
import * as z from "zod";
import { connect } from "../connect.ts";
import { memory } from "../memory/index.ts";
import { service } from "../service.ts";
import { recordingLogger, until } from "../testing.fixture.ts";

const Ship = command("shipping.ship", { input: z.object({ to: z.string(), kg: z.number() }) });

test("a dead letter is edited, validated and sent again as part of its conversation", async () => {
  const shipped: unknown[] = [];
  const shipping = service("shipping").handle(
    Ship,
    ({ to, kg }, { header }) => {
      if (kg > 30) throw new Error("too heavy");
      const { id, replacesid, conversationid, expirytime } = header;
      shipped.push({ to, id, replacesid, conversationid, expirytime });
    },
    { retry: { immediate: 0, attempts: 1 } },
  );
  const logger = recordingLogger();
  await using bus = await connect({ transport: memory(), services: [shipping], logger });
  for (const id of ["one", "two"]) await bus.send(Ship, { to: id, kg: 99 }, { id, ttlMs: 60_000 });
  await until("both are dead", async () => (await bus.deadLetters.list()).length === 2);
  const [one, two] = await bus.deadLetters.list();
  assert.ok(one !== undefined && two !== undefined);
  await assert.rejects(bus.deadLetters.edit(one, { to: 7 }), { code: "MESSAGE_INVALID" });
  assert.equal((await bus.deadLetters.list()).length, 2);
  const id = await bus.deadLetters.edit(one, { to: "one", kg: 9 });
  assert.equal(await bus.deadLetters.edit(one, { to: "one", kg: 9 }), undefined);
  await until("it is shipped", () => shipped.length === 1);
  const rest = { conversationid: "one", expirytime: undefined };
  assert.deepEqual(shipped, [{ to: "one", id, replacesid: "one", ...rest }]);
  const second = await bus.deadLetters.editBody(two, '{"to":"by hand","kg":1}');
  await until("the other is shipped", () => shipped.length === 2);
  assert.deepEqual(shipped[1], {
    to: "by hand",
    id: second,
    replacesid: "two",
    conversationid: "two",
    expirytime: undefined,
  });
  assert.deepEqual(await bus.deadLetters.list(), []);
  assert.equal((await bus.health()).status, "up");
});

test("what was sent for later is taken back by its id, and a queue is emptied", async () => {
  const sender = service("sender", { sends: [Ship] });
  await using bus = await connect({ transport: memory(), services: [sender] });
  const load = { to: "x", kg: 1 };
  const { id } = await bus.send(Ship, load, { delayMs: 60_000 });
  await bus.send(Ship, load, { delayMs: 60_000 });
  for (let index = 0; index < 3; index++) await bus.send(Ship, load);
  assert.equal(await bus.scheduled.cancel([id, "no such id"]), 1);
  assert.equal(await bus.scheduled.cancel([id]), 0);
  assert.equal((await bus.scheduled.list()).length, 1);
  assert.deepEqual(
    (await bus.waiting.list()).map((message) => bus.waiting.read(message)),
    [load, load, load],
  );
  assert.equal(await bus.waiting.purge(Ship.name), 3);
  assert.equal(await bus.scheduled.purge(Ship.name), 1);
  await assert.rejects(bus.waiting.purge("nowhere"), { code: "NOT_FOUND" });
});
