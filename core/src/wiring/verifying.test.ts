import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event, query, stream } from "@waybill/contracts";
import * as z from "zod";
import { connect } from "../connect.ts";
import { memory } from "../memory/index.ts";
import type { Discrepancy } from "../ports/transport.ts";
import { service } from "../service.ts";
import { recordingLogger, tested, until, watched } from "../testing.fixture.ts";
import { topology } from "../topology.ts";
import type { DeclareMode } from "./verifying.ts";

const Id = z.object({ id: z.string() });
const Place = command("ordering.place", { input: Id, dedupMs: 1_000 });
const Placed = event("ordering.placed", { payload: Id });
const Find = query("ordering.find", { input: Id, output: Id });
const Log = stream("ordering.log", { item: Id, key: ({ id }) => id, partitions: 2 });

const ordering = service("ordering", { publishes: [Placed], appends: [Log], asks: [Find] })
  .handle(Place, () => undefined)
  .on(Placed, () => undefined)
  .answer(Find, (found) => found);
const watching = service("watching").on(Placed, () => undefined, { everyInstance: true });

test("topology() says what services need, as plain data, and opens nothing", async () => {
  const events = watched(memory());
  const printed = await topology({
    transport: { default: memory(), events },
    services: [ordering, watching],
  });
  assert.equal(events.opened.length, 0);
  assert.deepEqual(JSON.parse(JSON.stringify(printed)), [
    {
      transport: "memory",
      kinds: ["command", "query", "stream"],
      topology: {
        queues: [{ name: "ordering.find" }, { name: "ordering.place", dedupWindowMs: 1_000 }],
        topics: [],
        subscriptions: [],
        streams: [{ name: "ordering.log", partitions: 2, retention: { ageMs: 604_800_000 } }],
      },
    },
    {
      transport: "memory",
      kinds: ["event"],
      topology: {
        queues: [],
        topics: [{ name: "ordering.placed" }],
        subscriptions: [
          { topic: "ordering.placed", name: "ordering", accepts: [{ type: "ordering.placed" }] },
        ],
        streams: [],
      },
    },
  ]);
  const defining = {
    ...memory(),
    definitions: async () => ({ file: "all.json", apply: "import", data: { queues: 1 } }),
  };
  const [only] = await topology({ transport: defining, services: [ordering] });
  assert.deepEqual(only?.definitions, { file: "all.json", apply: "import", data: { queues: 1 } });
  assert.deepEqual(await topology({ transport: memory(), services: [] }), []);
});

test("a bus that may create nothing refuses to start with all that is missing, on every broker, and runs where it is there", async () => {
  const transport = { default: memory(), events: memory() };
  const services = [ordering, watching] as const;
  const logger = recordingLogger();
  const refused = await connect({ transport, services, declare: "verify", logger }).then(
    () => assert.fail("it started"),
    (error: unknown) =>
      error as Error & { code: string; details: { discrepancies: Discrepancy[] } },
  );
  assert.equal(refused.code, "WIRING_INVALID");
  assert.deepEqual(
    refused.details.discrepancies.map(({ address, fault }) => `${address} ${fault}`),
    [
      "ordering.find missing",
      "ordering.place missing",
      "ordering.log missing",
      "ordering.placed/ missing",
      "ordering.placed/ordering missing",
    ],
  );
  assert.match(refused.message, /The queue "ordering\.place" is missing\. Create it\./);
  assert.match(refused.message, /what topology\(\{ transport, services \}\) prints/);
  {
    await using _ = await connect({ transport, services, logger });
  }
  await using bus = await connect({
    transport,
    services,
    declare: "verify",
    localCalls: false,
    logger,
  });
  assert.deepEqual(await bus.ask(Find, { id: "1" }), { id: "1" });
  await bus.publish(Placed, { id: "2" });
  await until("both heard", async () => (await bus.health()).contracts[Placed.name]?.handled === 2);
});

test("what is there and otherwise is named with what it is and what it must be", async () => {
  const transport = memory();
  const older = service("ordering", {
    appends: [stream("ordering.log", { item: Id, key: ({ id }) => id, partitions: 4 })],
  })
    .handle(command("ordering.place", { input: Id }), () => undefined)
    .on(Placed, () => undefined, { where: { id: "1" } as never })
    .answer(Find, (found) => found);
  {
    await using _ = await connect({ transport, services: [older] });
  }
  await assert.rejects(connect({ transport, services: [ordering], declare: "verify" }), (error) => {
    const { message } = error as Error;
    assert.match(message, /queue "ordering\.place", dedupWindowMs is 0 and must be 1000/);
    assert.match(message, /stream "ordering\.log", partitions is 4 and must be 2/);
    assert.match(message, /subscription "ordering\.placed\/ordering", accepts is .*"where"/);
    assert.doesNotMatch(message, /ordering\.find/);
    return true;
  });
});

test("a transport that cannot tell what it lacks is refused, and so is a mode that is none", async () => {
  const blind = watched(memory(), ({ capabilities }) => ({
    capabilities: { ...capabilities, verifies: undefined },
  }));
  await assert.rejects(connect({ transport: blind, services: [ordering], declare: "verify" }), {
    code: "NOT_SUPPORTED",
  });
  assert.equal(blind.disposed, 1);
  const half = watched(memory(), ({ capabilities }) => ({
    capabilities: { ...capabilities, verifies: "all but streams" },
  }));
  await assert.rejects(connect({ transport: half, services: [ordering], declare: "verify" }), {
    code: "NOT_SUPPORTED",
    message: /cannot tell what it lacks for the stream "ordering\.log"/,
  });
  await assert.rejects(connect({ transport: half, services: [watching], declare: "verify" }), {
    code: "WIRING_INVALID",
  });
  const declare = "none" as DeclareMode;
  await assert.rejects(tested([ordering], { declare }), { code: "OPTION_INVALID" });
});
