import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event, query } from "@waybill/contracts";
import * as z from "zod";
import { connect } from "../connect.ts";
import { WaybillError } from "../errors.ts";
import { memory } from "../memory/index.ts";
import type { WireTransform } from "../ports/wire.ts";
import { service } from "../service.ts";
import { gate, recordingLogger, until, watched } from "../testing.fixture.ts";
import type { SplitTransports } from "./options.ts";

const Id = z.object({ id: z.string() });
const Place = command("ordering.place", { input: Id });
const Placed = event("ordering.placed", { payload: Id });
const Price = query("pricing.get", { input: Id, output: z.number() });
const ordering = service("ordering", { publishes: [Placed] }).handle(Place, () => undefined);

test("a broker that carries several kinds is opened once, one that nothing needs not at all", async () => {
  const [most, events, unused] = [watched(memory()), watched(memory()), watched(memory())];
  const transport = { commands: most, events, queries: most, feeds: unused };
  const services = [ordering.answer(Price, () => 1)];
  {
    await using bus = await connect({ transport, services });
    assert.deepEqual(
      bus.transports.map(({ kinds }) => kinds),
      [["command", "query"], ["event"]],
    );
  }
  assert.deepEqual(
    [most, events, unused].map(({ opened, disposed }) => [opened.length, disposed]),
    [
      [1, 1],
      [1, 1],
      [0, 0],
    ],
  );
});

test("one broker for every kind is as if it had been given alone", async () => {
  const only = watched(memory());
  await using bus = await connect({
    transport: { commands: only, default: only },
    services: [ordering],
  });
  assert.equal(only.opened.length, 1);
  assert.equal(bus.capabilities.atomicSettle, true);
  assert.deepEqual((await bus.health()).transport, { name: "memory", durability: "memory" });
});

test("who connects no services looks into every broker that is named", async () => {
  const [commands, events] = [watched(memory()), watched(memory())];
  await using bus = await connect({ transport: { commands, events }, services: [] });
  assert.deepEqual([commands.opened.length, events.opened.length], [1, 1]);
  assert.deepEqual(await bus.deadLetters.list(), []);
});

test("a kind without a broker, a key that is no kind and what is no transport are refused before anything is opened", async () => {
  const commands = watched(memory());
  const refused = async (transport: object, message: RegExp): Promise<void> => {
    const given = transport as SplitTransports;
    await assert.rejects(connect({ transport: given, services: [ordering] }), {
      code: "OPTION_INVALID",
      message,
    });
  };
  await refused({ commands }, /names no broker for the event "ordering\.placed"\. Add events: …/);
  await refused({ commands, event: commands }, /the key "event".* There are commands, events/);
  await refused({ commands, events: 7 }, /no transport at "events"/);
  await refused({}, /names no broker for the command/);
  assert.equal(commands.opened.length, 0);
  await assert.rejects(connect({ transport: {}, services: [] }), { code: "OPTION_INVALID" });
});

test("when one broker refuses, those that were opened are closed again", async () => {
  const commands = watched(memory());
  const refusal = new WaybillError("UNAUTHORISED", "No entry to the broker of events.");
  const events = { name: "closed", open: () => Promise.reject(refusal) };
  await assert.rejects(connect({ transport: { commands, events }, services: [ordering] }), refusal);
  assert.deepEqual([commands.opened.length, commands.disposed], [1, 1]);
  const undeclared = watched(memory(), () => ({ declare: () => Promise.reject(refusal) }));
  await assert.rejects(
    connect({ transport: { commands, events: undeclared }, services: [ordering] }),
    refusal,
  );
  assert.deepEqual([commands.disposed, undeclared.disposed], [2, 1]);
});

test("a bus closes each of its brokers after the last handler, though one does not close well", async () => {
  const left: string[] = [];
  const commands = watched(memory(), (inner) => ({
    [Symbol.asyncDispose]: async () => {
      left.push("commands");
      await inner[Symbol.asyncDispose]();
      throw new Error("slammed");
    },
  }));
  const events = watched(memory(), (inner) => ({
    send: async (batch) => {
      left.push("sent");
      await inner.send(batch);
    },
    [Symbol.asyncDispose]: async () => {
      left.push("events");
      await inner[Symbol.asyncDispose]();
    },
  }));
  const work = gate();
  let begun = false;
  const slow = service("slow", { publishes: [Placed] }).handle(Place, async (order, context) => {
    begun = true;
    await work.passed;
    await context.publish(Placed, order);
  });
  const logger = recordingLogger();
  const bus = await connect({ transport: { commands, events }, services: [slow], logger });
  await bus.send(Place, { id: "1" });
  await until("it runs", () => begun);
  const closing = bus.close();
  work.open();
  await closing;
  assert.deepEqual(left, ["sent", "commands", "events"]);
  assert.equal(logger.has("error", /memory did not close well: slammed/), true);
});

test("the wire seals for every broker, and each refuses what is too large for it", async () => {
  const backwards: WireTransform = {
    name: "backwards",
    encodings: ["backwards"],
    required: true,
    seal: (body) => ({ body: turned(body), encoding: "backwards" }),
    open: (body) => turned(body),
  };
  const got: string[] = [];
  const hearing = service("ordering", { publishes: [Placed] })
    .handle(Place, async (order, context) => {
      got.push(order.id);
      await context.publish(Placed, order);
    })
    .on(Placed, ({ id }) => void got.push(id));
  const transport = { commands: memory(), events: memory({ bodyBytesMax: 100 }) };
  const logger = recordingLogger();
  await using bus = await connect({ transport, services: [hearing], wire: [backwards], logger });
  await bus.send(Place, { id: "small" });
  await until("both came", () => got.length === 2);
  await assert.rejects(bus.publish(Placed, { id: "x".repeat(200) }), { code: "BODY_TOO_LARGE" });
  await bus.send(Place, { id: "y".repeat(200) });
  await until("it is dead", async () => (await bus.deadLetters.list()).length === 1);
  const [letter] = await bus.deadLetters.list();
  assert.ok(letter !== undefined);
  assert.deepEqual(await bus.deadLetters.open(letter), { id: "y".repeat(200) });
  assert.notEqual(await bus.deadLetters.edit(letter, { id: "z" }), undefined);
  await until("the edited one came", () => got.filter((id) => id === "z").length === 2);
});

function turned(body: string | Uint8Array): string {
  const text = typeof body === "string" ? body : new TextDecoder().decode(body);
  return [...text].toReversed().join("");
}
