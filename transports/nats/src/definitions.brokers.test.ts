import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, command, event } from "@waybill/contracts";
import { connect, defer, service, topology } from "@waybill/core";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect as connectPlain } from "@nats-io/transport-node";
import { makeByHand } from "./by-hand.test.support.ts";
import { Corner, port, until } from "./corner.test.support.ts";

type Order = { readonly id: string };

const Order: Schema<Order> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as Order }) },
};

const server = `127.0.0.1:${port}`;
const Place = command("ordering.place", { input: Order });
const Placed = event("ordering.placed", { payload: Order });

test("a bus that may create nothing runs on what was created from the definitions, and creates nothing", async () => {
  await using corner = new Corner();
  const seen: string[] = [];
  const ordering = service("ordering", { publishes: [Placed] })
    .handle(
      Place,
      async ({ id }, context) => {
        seen.push(`place ${id} ${context.attempt}`);
        if (id === "late" && context.attempt === 1) throw new Error("not yet");
        if (id === "aside") return defer();
        if (id === "dead") throw Object.assign(new Error("never"), { retryable: false });
        await context.publish(Placed, { id });
        return undefined;
      },
      { retry: { immediate: 0, attempts: 3, delayMs: 100, jitter: 0 }, lockMs: 20_000 },
    )
    .on(Placed, ({ id }) => void seen.push(`placed ${id}`));
  const services = [ordering] as const;
  const options = { ...corner.options, services, declare: "verify" } as const;
  await assert.rejects(connect(options), {
    code: "WIRING_INVALID",
    message: /_queue_ordering_place" is missing\. Create it from the definitions/,
  });
  const [broker] = await topology({ transport: corner.factory(), services });
  assert.ok(broker !== undefined);
  await makeByHand(server, broker.topology, corner.prefix);
  const before = await streamsOf(corner);
  await using bus = await connect(options);
  for (const id of ["now", "late", "aside", "dead"]) await bus.send(Place, { id });
  await until("all came", () => seen.filter((each) => each.startsWith("placed")).length === 2);
  await until("one is dead", async () => (await bus.deadLetters.list()).length === 1);
  await until("one is aside", async () => (await bus.deferred.list()).length === 1);
  assert.deepEqual(await streamsOf(corner), before);
});

test("a stream that is otherwise is named, with what it is and what it must be", async () => {
  await using corner = new Corner();
  const ordering = service("ordering").handle(Place, () => undefined);
  const [broker] = await topology({ transport: corner.factory(), services: [ordering] });
  assert.ok(broker !== undefined);
  await makeByHand(server, broker.topology, corner.prefix);
  const connection = await connectPlain({ servers: server });
  const { streams, consumers } = await jetstreamManager(connection);
  const name = `${corner.prefix}_queue_ordering_place`;
  await streams.update(name, { subjects: ["elsewhere.entirely"] });
  await consumers.delete(name, "receivers");
  await connection.close();
  await assert.rejects(
    connect({ ...corner.options, services: [ordering], declare: "verify" }),
    ({ message }: Error) => {
      assert.match(message, /Of the stream ".*_queue_ordering_place", subjects is \["elsewhere/);
      assert.match(message, /consumer "receivers" of the stream ".*_place" is missing/);
      return true;
    },
  );
});

async function streamsOf({ prefix }: Corner): Promise<readonly string[]> {
  const connection = await connectPlain({ servers: server });
  const names: string[] = [];
  for await (const name of (await jetstreamManager(connection)).streams.names())
    if (name.startsWith(`${prefix}_`)) names.push(name);
  await connection.close();
  return names.toSorted((one, other) => one.localeCompare(other));
}
