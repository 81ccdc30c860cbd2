import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { command, event, feed, query, stream } from "@waybill/contracts";
import * as z from "zod";
import { connect } from "../connect.ts";
import { WaybillError } from "../errors.ts";
import { defer } from "../handling/outcome.ts";
import { memory } from "../memory/index.ts";
import type { Settlement, Transport } from "../ports/transport.ts";
import { service } from "../service.ts";
import {
  foreigner,
  gate,
  inspecting,
  manualEnvironment,
  recordingLogger,
  until,
  watched,
} from "../testing.fixture.ts";

const Id = z.object({ id: z.string() });
const Place = command("ordering.place", { input: Id });
const Bill = command("billing.bill", { input: Id });
const Placed = event("ordering.placed", { payload: Id });
const Price = query("pricing.get", { input: Id, output: z.number() });
const Watch = feed("pricing.watch", { input: Id, item: z.number() });
const Log = stream("ordering.log", { item: Id, key: ({ id }) => id, partitions: 2 });

const quick = { retry: { immediate: 0, attempts: 5, delayMs: 5, jitter: 0 } } as const;

const ordering = service("ordering", { publishes: [Placed], sends: [Bill], appends: [Log] }).handle(
  Place,
  async (order, context) => {
    await context.publish(Placed, order);
    await context.send(Bill, order);
    await context.append(Log, order);
  },
  quick,
);

/** Kinds whose addresses stand on a broker. */
async function standing(transport: Transport): Promise<readonly string[]> {
  return (await transport.inspection.addresses()).map(({ address }) => address).toSorted();
}

test("each kind goes over the broker that carries it, and handlers speak over all of them", async () => {
  const [commands, events, streams] = [memory(), memory(), memory()];
  const got: string[] = [];
  const billing = service("billing")
    .handle(Bill, ({ id }) => void got.push(`bill ${id}`))
    .on(Placed, ({ id }) => void got.push(`placed ${id}`))
    .consume(Log, ({ id }) => void got.push(`log ${id}`));
  const transport = { commands, events, default: streams };
  await using bus = await connect({ transport, services: [ordering, billing] });
  await bus.send(Place, { id: "1" });
  await until("all came", () => got.length === 3);
  assert.deepEqual(got.toSorted(), ["bill 1", "log 1", "placed 1"]);
  await using ofCommands = await foreigner(commands);
  await using ofEvents = await foreigner(events);
  await using ofStreams = await foreigner(streams);
  assert.deepEqual(await standing(ofCommands), ["billing.bill", "ordering.place"]);
  assert.deepEqual(await standing(ofEvents), ["ordering.placed/", "ordering.placed/billing"]);
  assert.deepEqual(await standing(ofStreams), ["ordering.log@billing"]);
  assert.deepEqual(
    bus.transports.map(({ kinds }) => kinds),
    [["command"], ["event"], ["stream"]],
  );
  const { balanced, entries, without } = await bus.ledger();
  assert.deepEqual([balanced, without], [true, []]);
  assert.equal(entries.filter(({ accepted }) => accepted > 0).length >= 4, true);
});

test("queries and feeds go over brokers of their own, and answers come back over them", async () => {
  const transport = { queries: memory(), feeds: memory() };
  const owner = service("owner")
    .answer(Price, ({ id }) => id.length)
    .serve(Watch, async function* ({ id }) {
      yield id.length;
      yield id.length + 1;
    });
  await using answering = await connect({ transport, services: [owner] });
  const caller = service("caller", { asks: [Price], opens: [Watch] });
  await using asking = await connect({ transport, services: [caller] });
  assert.equal(await asking.ask(Price, { id: "abc" }), 3);
  const items: number[] = [];
  for await (const item of asking.open(Watch, { id: "ab" })) items.push(item);
  assert.deepEqual(items, [2, 3]);
  await using ofQueries = await foreigner(transport.queries);
  const seen = (await standing(ofQueries)).filter((address) => !address.startsWith("replies."));
  assert.deepEqual(seen, ["pricing.get"]);
  const { contracts } = await answering.health();
  assert.equal(contracts[Price.name]?.handled, 1);
});

test("what a handler sends over another broker is stored before its message is settled; the rest leaves with it", async () => {
  const steps: string[] = [];
  const stored = gate();
  const events = watched(memory(), (inner) => ({
    send: async (batch) => {
      steps.push("events: begun");
      await stored.passed;
      await inner.send(batch);
      steps.push("events: stored");
    },
  }));
  const commands = watched(memory(), (inner) => ({
    send: async (batch) => {
      steps.push("commands: sent apart");
      await inner.send(batch);
    },
    receive: (source, options, listener) =>
      inner.receive(source, options, {
        fault: (error) => listener.fault(error),
        deliver: (batch) => {
          for (const delivery of batch) {
            const settle = delivery.settle.bind(delivery);
            delivery.settle = (settlement: Settlement) => {
              const count = settlement.kind === "complete" ? (settlement.send?.length ?? 0) : 0;
              steps.push(`commands: ${settlement.kind} with ${count}`);
              return settle(settlement);
            };
          }
          listener.deliver(batch);
        },
      }),
  }));
  const transport = { commands, default: events };
  await using bus = await connect({ transport, services: [ordering] });
  await bus.send(Place, { id: "1" });
  await until("it is being sent", () => steps.length === 2);
  stored.open();
  await until("settled", async () => (await bus.health()).contracts[Place.name]?.handled === 1);
  assert.deepEqual(steps, [
    "commands: sent apart",
    "events: begun",
    "events: stored",
    "commands: complete with 1",
  ]);
  const { contracts } = await bus.health();
  assert.deepEqual(
    [Placed, Bill, Log].map(({ name }) => contracts[name]?.sent),
    [1, 1, 1],
  );
});

test("while one of two brokers is gone, handlers that need it are retried, and nothing else of theirs leaves", async () => {
  let isGone = true;
  const gone = (): WaybillError =>
    new WaybillError("TRANSPORT_FAILED", "The line is dead.", { retryable: true });
  const events = watched(memory(), (inner) => ({
    send: (batch) => (isGone ? Promise.reject(gone()) : inner.send(batch)),
    inspection: inspecting(inner.inspection, {
      addresses: () => (isGone ? Promise.reject(gone()) : inner.inspection.addresses()),
    }),
  }));
  const billed: string[] = [];
  const billing = service("billing").handle(Bill, ({ id }) => void billed.push(id));
  const patient = service("ordering", { publishes: [Placed], sends: [Bill] }).handle(
    Place,
    async (order, context) => {
      await context.send(Bill, order);
      await context.publish(Placed, order);
    },
    { retry: { immediate: 0, attempts: 100, delayMs: 5, factor: 1, jitter: 0 } },
  );
  const logger = recordingLogger();
  const transport = { commands: memory(), events };
  await using bus = await connect({ transport, services: [patient, billing], logger });
  await bus.send(Place, { id: "1" });
  await until("it was tried", async () => ((await counted(bus, Place)).retried ?? 0) >= 2);
  await bus.send(Bill, { id: "2" });
  await until("others go on", () => billed.length === 1);
  const health = await bus.health();
  assert.equal(health.status, "down");
  assert.match(health.reasons.join("; "), /memory \(events\) does not answer: The line is dead\./);
  assert.deepEqual(
    health.transports.map(({ kinds, answers }) => [...kinds, answers]),
    [
      ["command", true],
      ["event", false],
    ],
  );
  assert.equal(
    health.addresses.some(({ address }) => address === Bill.name),
    true,
  );
  assert.deepEqual(billed, ["2"]);
  isGone = false;
  await until("it ended", async () => (await counted(bus, Place)).handled === 1);
  await until("both left", () => billed.length === 2);
  const { contracts, status } = await bus.health();
  assert.deepEqual([contracts[Placed.name]?.sent, status], [1, "degraded"]);
});

test("a process that dies between the two brokers repeats what it sent, and loses nothing", async () => {
  const commands = memory();
  const inner = memory();
  let instance = "";
  const events = watched(inner, (transport) => ({
    send: async (batch) => {
      await transport.send(batch);
      if (instance === "") return;
      commands.crash(instance);
      instance = "";
    },
  }));
  const heard: string[] = [];
  const hearing = service("hearing").on(Placed, ({ id }) => void heard.push(id));
  const publishing = service("ordering", { publishes: [Placed] }).handle(
    Place,
    async (order, context) => {
      await context.publish(Placed, order);
    },
    { lockMs: 1_000 },
  );
  const logger = recordingLogger();
  await using listening = await connect({ transport: inner, services: [hearing] });
  const watchedCommands = watched(commands);
  const transport = { commands: watchedCommands, events };
  const dying = await connect({ transport, services: [publishing], logger });
  instance = watchedCommands.opened[0]?.instance ?? "";
  await dying.send(Place, { id: "1" });
  await until("it was published", () => heard.length === 1);
  await using heir = await connect({ transport, services: [publishing], logger });
  await until("it was published again", () => heard.length === 2);
  await until("settled", async () => (await counted(heir, Place)).handled === 1);
  assert.deepEqual(heard, ["1", "1"]);
  assert.deepEqual(await listening.deadLetters.list(), []);
  await dying.close({ deadlineMs: 100 }).catch(() => undefined);
});

async function counted(
  bus: { health(): Promise<{ contracts: Readonly<Record<string, unknown>> }> },
  { name }: { readonly name: string },
): Promise<Readonly<Record<string, number>>> {
  return (await bus.health()).contracts[name] as Readonly<Record<string, number>>;
}

test("health says which broker fell silent, though that never answers", async () => {
  const environment = manualEnvironment();
  let asked = 0;
  const silent = watched(memory(), ({ inspection }) => ({
    inspection: inspecting(inspection, {
      addresses: () => {
        asked += 1;
        return new Promise(() => undefined);
      },
    }),
  }));
  const transport = { default: memory(), events: silent };
  await using bus = await connect({ transport, services: [ordering], environment });
  const asking = bus.health();
  await until("it was asked", () => asked === 1);
  await environment.advance(5_000);
  const { status, reasons } = await asking;
  assert.equal(status, "down");
  assert.match(reasons.join(), /memory \(events\) does not answer: Nothing was heard/);
});

test("dead letters of all brokers are listed, paged, edited, replayed and discarded as one", async () => {
  let broken = true;
  const done: string[] = [];
  const fail = ({ id }: { id: string }): void => {
    if (broken) throw new Error(`no ${id}`);
    done.push(id);
  };
  const once = { retry: { immediate: 0, attempts: 1 } } as const;
  const failing = service("failing").handle(Place, fail, once).on(Placed, fail, once);
  const transport = { commands: memory(), events: memory() };
  await using bus = await connect({ transport, services: [failing], logger: recordingLogger() });
  for (const id of ["a", "b"]) await bus.send(Place, { id });
  for (const id of ["c", "d"]) await bus.publish(Placed, { id });
  await until("all are dead", async () => (await bus.deadLetters.list()).length === 4);
  const first = await bus.deadLetters.list({ limit: 3 });
  const rest = await bus.deadLetters.list({ limit: 3, after: first[2]?.handle ?? "" });
  const all = [...first, ...rest];
  assert.deepEqual(
    all.map((letter) => bus.deadLetters.read(letter)),
    ["a", "b", "c", "d"].map((id) => ({ id })),
  );
  assert.equal(new Set(all.map(({ handle }) => handle)).size, 4);
  assert.equal((await bus.deadLetters.list({ address: Place.name })).length, 2);
  assert.equal((await bus.deadLetters.groups()).looked, 4);
  const [a, b, c, d] = all;
  assert.ok(a !== undefined && b !== undefined && c !== undefined && d !== undefined);
  assert.equal((await bus.deadLetters.get(c.handle))?.address, `${Placed.name}/failing`);
  assert.equal(await bus.deadLetters.get("nonsense"), undefined);
  assert.equal(await bus.deadLetters.discard([b.handle]), 1);
  broken = false;
  assert.notEqual(await bus.deadLetters.edit(d, { id: "e" }), undefined);
  const report = await bus.deadLetters.replayAll();
  assert.deepEqual([report.found, report.replayed, report.handled], [2, 2, 2]);
  await until("all are done", () => done.length === 3);
  assert.deepEqual(done.toSorted(), ["a", "c", "e"]);
});

test("an address is paused on the broker that has it, and one that no service names is looked for on each", async () => {
  const transport = { commands: memory(), events: memory() };
  const got: string[] = [];
  const both = service("both")
    .handle(Place, ({ id }) => void got.push(id))
    .on(Placed, ({ id }) => void got.push(id));
  {
    await using other = await connect({
      transport: transport.events,
      services: [service("left", {}).handle(Bill, () => undefined)],
    });
    await other.health();
  }
  const logger = recordingLogger();
  await using bus = await connect({ transport, services: [both], logger });
  assert.deepEqual(await bus.pause(Placed, { reason: "mending" }), [`${Placed.name}/both`]);
  await bus.publish(Placed, { id: "event" });
  await bus.send(Place, { id: "command" });
  await until("the other goes on", () => got.length === 1);
  assert.deepEqual(got, ["command"]);
  await using late = await connect({ transport, services: [both], logger });
  assert.equal(logger.has("warn", /ordering\.placed\/both: paused since .*mending/), true);
  assert.equal((await late.health()).status, "degraded");
  assert.deepEqual(await bus.resume(`${Placed.name}/both`), [`${Placed.name}/both`]);
  await until("it delivers again", () => got.length === 2);
  assert.deepEqual(await bus.pause(Bill.name, { reason: "left over" }), [Bill.name]);
  assert.deepEqual(await bus.resume(Bill.name), [Bill.name]);
  await assert.rejects(bus.pause("nowhere", { reason: "x" }), { code: "NOT_FOUND" });
});

test("what one handler deferred another resumes by its handle, over whichever broker it came", async () => {
  const done: string[] = [];
  let handle = "";
  const deferring = service("deferring")
    .handle(Place, ({ id }, context) => {
      if (handle !== "") return void done.push(id);
      handle = context.handle ?? "";
      return defer();
    })
    .on(Placed, async ({ id }, context) => {
      done.push(`${id} ${await context.resumeDeferred(handle)}`);
    });
  const transport = { commands: memory(), events: memory() };
  await using bus = await connect({ transport, services: [deferring] });
  await bus.send(Place, { id: "1" });
  await until("deferred", async () => (await bus.deferred.list()).length === 1);
  assert.equal((await bus.deferred.list())[0]?.handle, handle);
  await bus.publish(Placed, { id: "2" });
  await until("resumed", () => done.length === 2);
  assert.deepEqual(done.toSorted(), ["1", "2 resumed"]);
  assert.equal(await bus.deferred.resume(handle), "gone");
});

test("what a broker cannot do is refused for its own kinds alone, with the contract, the need and the broker", async () => {
  const weak = {
    ...watched(memory(), ({ capabilities }) => ({
      name: "weak",
      capabilities: { ...capabilities, dedupWindowMs: 0, filters: [], bodyBytesMax: 1_000 },
    })),
    name: "weak",
  };
  const OnceCommand = command("once.command", { input: Id, dedupMs: 1_000 });
  const OnceEvent = event("once.event", { payload: Id, dedupMs: 1_000 });
  const strong = memory();
  await assert.rejects(
    connect({
      transport: { commands: strong, events: weak },
      services: [service("s", { sends: [OnceCommand], publishes: [OnceEvent] })],
    }),
    {
      code: "NOT_SUPPORTED",
      message: /event "once\.event" asks for dedupMs: 1000; weak recognises/,
    },
  );
  const speaking = service("s", { sends: [OnceCommand], publishes: [Placed] });
  const transport = { commands: strong, events: weak };
  await using bus = await connect({ transport, services: [speaking] });
  assert.deepEqual(
    [bus.capabilities.dedupWindowMs, bus.capabilities.atomicSettle, bus.capabilities.filters],
    [0, false, []],
  );
  const large = { id: "x".repeat(2_000) };
  await bus.send(OnceCommand, large);
  await assert.rejects(bus.publish(Placed, large), { message: /weak takes 1000/ });
  await bus.send(OnceCommand, { id: "1" }, { id: "same" });
  await bus.send(OnceCommand, { id: "1" }, { id: "same" });
  assert.equal((await counted(bus, OnceCommand)).duplicates, 1);
});

test("a bus explains each contract by the broker that carries it, and prints it", async () => {
  const [commands, events] = [memory(), memory()];
  const transport = { commands, events, streams: commands };
  await using bus = await connect({ transport, services: [ordering.on(Placed, () => undefined)] });
  const explained = await bus.explain(Placed);
  assert.deepEqual(explained.besides, ["memory (commands, streams)"]);
  assert.match(explained.text, /reads from memory \(commands, streams\) sends it before its own/);
  assert.deepEqual([String(explained), inspect(explained)], [explained.text, explained.text]);
  assert.equal(Object.keys(explained).includes("toString"), false);
  const streams = await bus.explain(Log);
  assert.deepEqual(streams.besides, ["memory (events)"]);
});
