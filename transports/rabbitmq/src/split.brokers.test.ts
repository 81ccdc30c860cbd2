import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Schema, command, event } from "@waybill/contracts";
import { connect, service } from "@waybill/core";
import { TcpFaultProxy } from "@waybill/testkit";
import { Corner, until } from "./corner.test.support.ts";
import { port } from "./subject.test.support.ts";

type Order = { readonly id: string };

const Order: Schema<Order> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as Order }) },
};

/** A folder of the embedded broker, by its URL: its package is no part of this room. */
function embedded(context: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), "waybill-split-"));
  context.after(() => rmSync(directory, { recursive: true, force: true }));
  return `sqlite:${directory}`;
}

function contractsOf(corner: Corner) {
  return {
    Place: command(corner.name("place"), { input: Order }),
    Placed: event(corner.name("placed"), { payload: Order }),
  };
}

const patient = {
  retry: { immediate: 0, attempts: 1_000, delayMs: 50, factor: 1, jitter: 0 },
} as const;

test("commands wait in a file and their events go over RabbitMQ", async (context) => {
  await using corner = new Corner();
  const { Place, Placed } = contractsOf(corner);
  const commands = embedded(context);
  const heard: string[] = [];
  const ordering = service("ordering", { publishes: [Placed] }).handle(
    Place,
    async (order, { publish }) => {
      await publish(Placed, order);
    },
  );
  const mailing = service("mailing").on(Placed, ({ id }) => void heard.push(id));
  const { transport: events, logger } = corner.options;
  await using listening = await connect({ transport: events, services: [mailing], logger });
  const transport = { commands, events };
  await using bus = await connect({ transport, services: [ordering], logger });
  const ids = Array.from({ length: 300 }, (_, index) => `${index}`);
  await Promise.all(ids.map((id) => bus.send(Place, { id })));
  await until("all were heard", () => heard.length >= ids.length);
  assert.deepEqual(heard.toSorted(), ids.toSorted());
  assert.deepEqual(await listening.deadLetters.list(), []);
  const health = await bus.health();
  assert.deepEqual(
    health.transports.map(({ name, durability, answers }) => [name, durability, answers]),
    [
      ["embedded", "power-loss", true],
      ["rabbitmq", "power-loss", true],
    ],
  );
  const { balanced, without } = await bus.ledger();
  assert.deepEqual([balanced, without], [true, ["rabbitmq (events)"]]);
  assert.match(
    (await bus.explain(Placed)).text,
    /reads from embedded \(commands\) sends it before/,
  );
});

test("while RabbitMQ is gone commands are taken and tried again, nothing is lost, and the bus closes in time", async (context) => {
  await using corner = new Corner();
  const { Place, Placed } = contractsOf(corner);
  await using proxy = await TcpFaultProxy.listen({ port });
  const { logger, transport: direct } = corner.options;
  const heard = new Map<string, number>();
  let tries = 0;
  const mailing = service("mailing").on(
    Placed,
    ({ id }) => void heard.set(id, (heard.get(id) ?? 0) + 1),
  );
  const ordering = service("ordering", { publishes: [Placed] }).handle(
    Place,
    async (order, { publish }) => {
      tries += 1;
      await publish(Placed, order);
    },
    patient,
  );
  await using _ = await connect({ transport: direct, services: [mailing], logger });
  const url = `amqp://127.0.0.1:${proxy.port}`;
  const events = corner.factory({ url, sendTimeoutMs: 300, heartbeatSeconds: 1 });
  const transport = { commands: embedded(context), events };
  const bus = await connect({ transport, services: [ordering], logger });
  await bus.send(Place, { id: "before" });
  await until("heard", () => heard.size === 1);
  proxy.refuse();
  proxy.reset();
  for (const id of ["one", "two", "three"]) await bus.send(Place, { id });
  await until("tried in vain", () => tries >= 6);
  const { status, reasons } = await bus.health();
  assert.equal(status, "down");
  assert.match(reasons.join("; "), /rabbitmq \(events\) does not answer/);
  assert.equal(heard.size, 1);
  proxy.heal();
  await until("all were heard", () => heard.size === 4);
  await until("settled", async () => {
    const { contracts } = await bus.health();
    return contracts[Place.name]?.handled === 4;
  });
  assert.deepEqual(await bus.deadLetters.list(), []);
  proxy.freeze();
  const begun = performance.now();
  await bus.close({ deadlineMs: 2_000 });
  // Who waited for the broker would be left to itself ten seconds after the deadline.
  assert.ok(performance.now() - begun < 10_000, "it closes though the broker says nothing");
  proxy.heal();
});
