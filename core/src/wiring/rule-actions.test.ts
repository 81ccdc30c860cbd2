import assert from "node:assert/strict";
import { test } from "node:test";
import { type Attributes, event } from "@waybill/contracts";
import * as z from "zod";
import { connect } from "../connect.ts";
import { memory } from "../memory/index.ts";
import { deadLetter } from "../handling/outcome.ts";
import type { Topology } from "../ports/transport.ts";
import { service } from "../service.ts";
import { recordingLogger, tested, until, watched } from "../testing.fixture.ts";

const Placed = event("orders.placed", {
  payload: z.object({ id: z.string() }),
  attributes: () => ({ region: "EU", total: 5, internal: true }),
});
const changed = { region: "EU", total: 5, tier: "gold" };
const set = { tier: "gold", internal: null };

function broker(can: boolean) {
  const declared: Topology[] = [];
  const transport = watched(memory(), (inner) => ({
    capabilities: { ...inner.capabilities, ruleActions: can },
    declare: (topology) => (declared.push(topology), inner.declare(topology)),
  }));
  return { transport, declared };
}

for (const can of [true, false]) {
  test(`set: changes what one subscription's handler sees, ${can ? "by the broker" : "by core where the broker cannot"}`, async () => {
    const seen: Record<string, Attributes> = {};
    const { transport, declared } = broker(can);
    await using it = await tested(
      [
        service("orders", { publishes: [Placed] })
          .on(Placed, (_, { attributes }) => void (seen["changed"] = attributes), {
            name: "changed",
            where: { internal: true },
            set,
          })
          .on(Placed, (_, { attributes }) => void (seen["plain"] = attributes)),
      ],
      { transport },
    );
    await it.bus.publish(Placed, { id: "1" });
    await until("both copies", () => Object.keys(seen).length === 2);
    assert.deepEqual(seen["changed"], changed);
    assert.deepEqual(seen["plain"], { region: "EU", total: 5, internal: true });
    const accepted = declared.flatMap(({ subscriptions }) => subscriptions[0]?.accepts ?? []);
    assert.equal("set" in (accepted[0] ?? {}), can);
    const { takers, text } = await it.bus.explain(Placed);
    assert.deepEqual(takers[0]?.set, set);
    assert.match(text, /attributes changed by \{"tier":"gold","internal":null\}/);
  });

  test(`set: is seen again after a replay, ${can ? "and in the dead letter" : "though the dead letter is as it was published"}`, async () => {
    const seen: Attributes[] = [];
    const { transport } = broker(can);
    await using it = await tested(
      [
        service("orders", { publishes: [Placed] }).on(
          Placed,
          (_, { attributes }) => {
            seen.push(attributes);
            return seen.length === 1 ? deadLetter("no") : undefined;
          },
          { set },
        ),
      ],
      { transport },
    );
    await it.bus.publish(Placed, { id: "1" });
    await until("a dead letter", async () => (await it.bus.deadLetters.list()).length === 1);
    const [letter] = await it.bus.deadLetters.list();
    assert.equal(letter?.envelope.header.attributes?.["tier"], can ? "gold" : undefined);
    await it.bus.deadLetters.replay([letter?.handle ?? ""]);
    await until("again", () => seen.length === 2);
    assert.deepEqual(seen, [changed, changed]);
  });
}

test("a change that cannot be is a fault of the wiring, with its place", async () => {
  const wrong = service("orders").on(Placed, () => undefined, { set: { "no name": 1 } });
  await assert.rejects(
    connect({ transport: memory(), services: [wrong], logger: recordingLogger() }),
    {
      code: "WIRING_INVALID",
      message: /on\("orders\.placed"\) of service "orders".*set\.no name: no legal name/,
    },
  );
});
