import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, command, event, query } from "@waybill/contracts";
import { connect, defer, service, topology } from "@waybill/core";
import { connect as connectPlain } from "amqplib";
import { Corner, until } from "./corner.test.support.ts";
import { rabbitmq } from "./index.ts";
import { Operator } from "./operator.test.support.ts";
import { url } from "./subject.test.support.ts";

type Order = { readonly id: string };

const Order: Schema<Order> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as Order }) },
};

const Place = command("ordering.place", { input: Order, key: ({ id }) => id });
const Placed = event("ordering.placed", { payload: Order });
const Find = query("ordering.find", { input: Order, output: Order });

test("who may create nothing runs on what rabbitmqctl imports: commands, retries, delays, events, calls and what is set aside", async () => {
  await using operator = await Operator.open();
  const seen: string[] = [];
  const ordering = service("ordering", { publishes: [Placed], asks: [Find] })
    .handle(
      Place,
      async ({ id }, context) => {
        seen.push(`place ${id} ${context.attempt}`);
        if (id === "late" && context.attempt === 1) throw new Error("not yet");
        if (id === "aside") return defer();
        if (id === "dead") throw Object.assign(new Error("never"), { retryable: false });
        const found = await context.ask(Find, { id });
        await context.publish(Placed, found, { delayMs: 100 });
        return undefined;
      },
      { retry: { immediate: 0, attempts: 3, delayMs: 100, jitter: 0 } },
    )
    .on(Placed, ({ id }) => void seen.push(`placed ${id}`))
    .answer(Find, (order) => order);
  const restricted = await operator.restricted();
  const options = { services: [ordering], declare: "verify", localCalls: false } as const;
  const logger = new Corner().logger;
  await assert.rejects(connect({ ...options, transport: restricted, logger }), {
    code: "WIRING_INVALID",
    message: /queue "ordering\.place" is missing\. Import the definitions[^]*waybill\.delay\.27/,
  });
  const [broker] = await topology({ transport: restricted, services: [ordering] });
  assert.ok(broker !== undefined);
  assert.equal(broker.definitions?.apply, "rabbitmqctl import_definitions definitions.json");
  await operator.import(broker.topology);
  await using bus = await connect({ ...options, transport: restricted, logger });
  for (const id of ["now", "late", "aside", "dead"]) await bus.send(Place, { id });
  await until("all came", () => seen.filter((each) => each.startsWith("placed")).length === 2);
  await until("one is dead", async () => (await bus.deadLetters.list()).length === 1);
  await until("one is aside", async () => (await bus.deferred.list()).length === 1);
  assert.deepEqual(
    seen.toSorted((one, other) => one.localeCompare(other)),
    [
      "place aside 1",
      "place dead 1",
      "place late 1",
      "place late 2",
      "place now 1",
      "placed late",
      "placed now",
    ],
  );
  const free = service("free").handle(command("other.command", { input: Order }), () => undefined);
  await assert.rejects(connect({ transport: restricted, services: [free], logger }), {
    code: "UNAUTHORISED",
  });
});

test("what is there with other arguments is named, with what to do", async () => {
  await using corner = new Corner();
  const name = corner.name("place");
  const ordering = service("ordering").handle(command(name, { input: Order }), () => undefined);
  const plain = await connectPlain(url);
  const channel = await plain.createChannel();
  await channel.assertQueue(name, { durable: true });
  try {
    await assert.rejects(
      connect({
        transport: rabbitmq({ url }),
        services: [ordering],
        declare: "verify",
        logger: corner.logger,
      }),
      ({ message }: Error) => {
        assert.match(message, new RegExp(`queue "${name}": .*inequivalent arg 'x-queue-type'`));
        assert.match(message, /which RabbitMQ cannot change: empty it and delete it/);
        assert.match(message, new RegExp(`queue "${name}\\.dead" is missing`));
        return true;
      },
    );
    assert.equal((await channel.checkQueue(name)).messageCount, 0);
  } finally {
    await (await plain.createChannel()).deleteQueue(name);
    await plain.close();
  }
});
