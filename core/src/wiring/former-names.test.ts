import assert from "node:assert/strict";
import { test } from "node:test";
import { command } from "@waybill/contracts";
import * as z from "zod";
import { connect } from "../connect.ts";
import { memory } from "../memory/index.ts";
import { deadLetter } from "../handling/outcome.ts";
import type { WireTransform } from "../ports/wire.ts";
import { type Service, service } from "../service.ts";
import { recordingLogger, tested, turns, until, watched } from "../testing.fixture.ts";

const input = z.object({ id: z.string() });
const Old = command("orders.place", { input });
const New = command("ordering.place-order", { input, formerNames: ["orders.place"] });

/** Refuses what was sealed for another address. */
const bound: WireTransform = {
  name: "bound",
  encodings: ["bound"],
  required: true,
  seal: async (body, { destination }) => ({
    body: `${destination}|${String(body)}`,
    encoding: "bound",
  }),
  open: async (body, { destination }) => {
    const [sealedFor, ...rest] = String(body).split("|");
    assert.equal(sealedFor, destination);
    return rest.join("|");
  },
};

for (const wire of [[], [bound]]) {
  test(`a renamed command also gets what waits and comes under its former name${wire.length > 0 ? ", sealed for it" : ""}`, async () => {
    const transport = memory();
    const seen: string[] = [];
    await using old = await tested([service("shop", { sends: [Old] })], { transport, wire });
    await old.bus.send(Old, { id: "waits" });
    const owner = service("ordering", { sends: [New] }).handle(New, ({ id }) => {
      seen.push(id);
      return id === "dies" ? deadLetter("no") : undefined;
    });
    await using it = await tested([owner], { transport, wire });
    await until("what waited", () => seen.length === 1);
    await old.bus.send(Old, { id: "comes" });
    await it.bus.send(New, { id: "new" });
    await until("both", () => seen.length === 3);
    assert.deepEqual(seen.toSorted(), ["comes", "new", "waits"]);
    await old.bus.send(Old, { id: "dies" });
    await until("a dead letter", async () => (await it.bus.deadLetters.list()).length === 1);
    const [letter] = await it.bus.deadLetters.list();
    assert.equal(letter?.address, "ordering.place-order");
    assert.deepEqual(await it.bus.deadLetters.open(letter), { id: "dies" });
    await it.bus.deadLetters.edit(letter, { id: "edited" });
    await until("the edited one", () => seen.includes("edited"));
    assert.equal((await it.counted("ordering.place-order"))["handled"], 4);
  });
}

test("who still handles the former name is told at start that it gets nothing", async () => {
  const transport = memory();
  await using it = await tested([service("ordering").handle(New, () => undefined)], { transport });
  const seen: string[] = [];
  const stale = service("shop", { sends: [Old] }).handle(Old, ({ id }) => void seen.push(id));
  await using old = await tested([stale], { transport });
  assert.ok(
    old.logger.has("warn", /"orders\.place" forwards to the queue "ordering\.place-order"/),
  );
  await old.bus.send(Old, { id: "1" });
  await until("handled", async () => (await it.counted("ordering.place-order"))["handled"] === 1);
  await turns();
  assert.deepEqual(seen, []);
});

test("former names that cannot be are faults of the wiring; a transport that does not forward says so", async () => {
  const named = (formerNames: readonly string[], name = "a.b") =>
    command(name, { input, formerNames });
  const refused = async (...services: Service[]): Promise<void> =>
    assert.rejects(connect({ transport: memory(), services, logger: recordingLogger() }), {
      code: "WIRING_INVALID",
      message: /former/,
    });
  for (const names of [["No Name"], ["a.b"], Array.from({ length: 11 }, (_, n) => `n${n}.x`)])
    await refused(service("one").handle(named(names), () => undefined));
  const both = service("one").handle(New, () => undefined);
  await refused(both.handle(Old, () => undefined));
  await refused(both.handle(named(["orders.place"]), () => undefined));
  const transport = watched(memory(), ({ capabilities }) => ({
    capabilities: { ...capabilities, forwardHopsMax: 0 },
  }));
  await assert.rejects(tested([both], { transport }), { code: "NOT_SUPPORTED" });
});
