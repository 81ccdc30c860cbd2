import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event, stream } from "@waybill/contracts";
import * as z from "zod";
import { memory } from "../memory/index.ts";
import { WaybillError } from "../errors.ts";
import type { Settled, TransportFactory } from "../ports/transport.ts";
import { complete, deadLetter, defer, retry } from "../handling/outcome.ts";
import { service } from "../service.ts";
import {
  foreigner,
  watched,
  envelopeOf,
  gate,
  manualEnvironment,
  tested,
  turns,
  until,
} from "../testing.fixture.ts";

const Row = z.object({ id: z.number(), key: z.string().default("k") });
const Import = command("rows.import", { input: Row });
const Keyed = command("rows.keyed", { input: Row, key: ({ key }) => key });
const Log = stream("rows.log", { item: Row, key: ({ key }) => key, partitions: 1 });
const Imported = event("rows.imported", { payload: z.object({ ids: z.array(z.number()) }) });

const rows = (count: number, key = "k"): { id: number; key: string }[] =>
  Array.from({ length: count }, (_, index) => ({ id: index + 1, key }));
const ids = (items: readonly { value: { id: number } }[]): number[] =>
  items.map(({ value }) => value.id);
const once = { retry: { immediate: 0, attempts: 3, delayMs: 1_000, jitter: 0 } } as const;

test("a batch closes when it is full, and when its oldest message has waited long enough: what comes later never prolongs that", async () => {
  const environment = manualEnvironment();
  const batches: number[][] = [];
  const importer = service("importer").handleBatch(
    Import,
    (items) => void batches.push(ids(items)),
    { batch: { size: 3, maxAgeMs: 100 } },
  );
  await using it = await tested([importer], { environment });
  for (const row of rows(4)) await it.bus.send(Import, row);
  await turns();
  assert.deepEqual(batches, [[1, 2, 3]]);
  await environment.advance(60);
  await it.bus.send(Import, { id: 5, key: "k" });
  await environment.advance(39);
  assert.equal(batches.length, 1);
  await environment.advance(1);
  assert.deepEqual(batches, [
    [1, 2, 3],
    [4, 5],
  ]);
  await it.bus.send(Import, { id: 6, key: "k" });
  await environment.advance(99);
  assert.equal(batches.length, 2);
  await environment.advance(1);
  assert.deepEqual(batches[2], [6]);
  assert.equal((await it.counted(Import.name))["handled"], 6);
});

test("a batch closes before its bodies exceed bytesMax; a larger message is a batch of its own", async () => {
  const Text = command("rows.text", { input: z.string() });
  const batches: number[][] = [];
  const importer = service("importer").handleBatch(
    Text,
    (items) => void batches.push(items.map(({ value }) => value.length)),
    { batch: { size: 100, maxAgeMs: 50, bytesMax: 100 } },
  );
  await using it = await tested([importer]);
  await Promise.all([40, 40, 40, 200, 10].map((length) => it.bus.send(Text, "x".repeat(length))));
  await until("all are handled", () => batches.flat().length === 5);
  assert.deepEqual(batches, [[40, 40], [40], [200], [10]]);
});

test("marks decide about single messages; what they do not name is complete", async () => {
  const environment = manualEnvironment();
  const batches: number[][] = [];
  const importer = service("importer").handleBatch(
    Import,
    (items) => {
      batches.push(ids(items));
      for (const item of items) {
        const { id } = item.value;
        if (item.context.attempt > 1) continue;
        if (id === 1) item.mark(retry({ afterMs: 500, reason: "later" }));
        if (id === 2) item.mark(deadLetter("never"));
        if (id === 3) item.mark(defer());
        if (id === 4) item.mark(complete());
      }
    },
    { batch: { size: 5, maxAgeMs: 10 } },
  );
  await using it = await tested([importer], { environment });
  for (const row of rows(5)) await it.bus.send(Import, row);
  await turns();
  const [dead] = await it.bus.deadLetters.list();
  assert.deepEqual([dead?.failure?.message, dead?.failure?.attempts], ["never", 1]);
  assert.equal((await it.bus.deferred.list()).length, 1);
  await environment.advance(510);
  assert.deepEqual(batches, [[1, 2, 3, 4, 5], [1]]);
  const counted = await it.counted(Import.name);
  assert.deepEqual(
    [counted["handled"], counted["retried"], counted["deadLettered"], counted["deferred"]],
    [3, 1, 1, 1],
  );
});

test("one poison message fails alone: the batch runs again by halves, and its neighbours are complete", async () => {
  const environment = manualEnvironment();
  const batches: number[][] = [];
  const importer = service("importer").handleBatch(
    Import,
    (items) => {
      batches.push(ids(items));
      if (ids(items).includes(3)) throw new Error("poison");
    },
    { ...once, batch: { size: 8, maxAgeMs: 10 } },
  );
  await using it = await tested([importer], { environment });
  for (const row of rows(8)) await it.bus.send(Import, row);
  await turns();
  assert.deepEqual(batches, [
    [1, 2, 3, 4, 5, 6, 7, 8],
    [1, 2, 3, 4],
    [1, 2],
    [3, 4],
    [3],
    [4],
    [5, 6, 7, 8],
  ]);
  assert.equal((await it.counted(Import.name))["handled"], 7);
  await environment.advance(10_000);
  const [dead] = await it.bus.deadLetters.list();
  assert.deepEqual([dead?.failure?.message, dead?.failure?.attempts], ["poison", 3]);
  assert.match(dead?.failure?.handler ?? "", /handleBatch/);
});

test("a retried message is in no batch with new ones", async () => {
  const environment = manualEnvironment();
  const batches: number[][] = [];
  const importer = service("importer").handleBatch(
    Import,
    (items) => {
      batches.push(ids(items));
      if (ids(items).some((id) => id < 3)) throw new Error("poison");
    },
    { ...once, batch: { size: 4, maxAgeMs: 10 } },
  );
  await using it = await tested([importer], { environment });
  for (const row of rows(2)) await it.bus.send(Import, row);
  await environment.advance(10);
  await environment.advance(995);
  batches.length = 0;
  for (const id of [8, 9]) await it.bus.send(Import, { id, key: "k" });
  await environment.advance(30);
  assert.ok(
    batches.some((batch) => batch.join() === "8,9"),
    JSON.stringify(batches),
  );
  assert.ok(
    !batches.some((batch) => batch.includes(1) && batch.includes(8)),
    JSON.stringify(batches),
  );
});

test("a failure that is not the messages' own fails them all, without halving, and they come again together", async () => {
  const environment = manualEnvironment();
  const batches: number[][] = [];
  let isDown = true;
  const importer = service("importer").handleBatch(
    Import,
    (items) => {
      batches.push(ids(items));
      if (isDown) throw Object.assign(new Error("refused"), { code: "ECONNREFUSED" });
    },
    { batch: { size: 4, maxAgeMs: 10 }, retry: { ...once.retry, immediate: 1 } },
  );
  await using it = await tested([importer], { environment });
  for (const row of rows(4)) await it.bus.send(Import, row);
  await turns();
  assert.deepEqual(batches, [
    [1, 2, 3, 4],
    [1, 2, 3, 4],
  ]);
  isDown = false;
  await environment.advance(1_100);
  assert.deepEqual(batches.slice(2), [[1, 2, 3, 4]]);
});

test("before a failure makes dead letters of them all, a batch is halved whatever the error was", async () => {
  const environment = manualEnvironment();
  const importer = service("importer").handleBatch(
    Import,
    (items) => {
      if (ids(items).includes(3))
        throw Object.assign(new Error("this row always times out"), { code: "ETIMEDOUT" });
    },
    { ...once, batch: { size: 4, maxAgeMs: 10 } },
  );
  await using it = await tested([importer], { environment });
  for (const row of rows(4)) await it.bus.send(Import, row);
  await environment.advance(30_000);
  const counted = await it.counted(Import.name);
  assert.deepEqual([counted["handled"], counted["deadLettered"]], [3, 1]);
});

test("a message whose last delivery ended without a word runs alone", async () => {
  const environment = manualEnvironment();
  const factory = memory();
  const broker = await foreigner(factory, environment);
  const batches: number[][] = [];
  const importer = service("importer").handleBatch(
    Import,
    (items) => void batches.push(ids(items)),
    { batch: { size: 10, maxAgeMs: 10 } },
  );
  const silent = service("importer").handleBatch(Import, () => new Promise<void>(() => undefined), {
    batch: { size: 3, maxAgeMs: 10 },
  });
  {
    const first = await tested([silent], { environment, transport: factory });
    for (const row of rows(3)) await first.bus.send(Import, row);
    await turns();
    const closing = assert.rejects(first.bus.close({ deadlineMs: 5 }), {
      code: "SHUTDOWN_INCOMPLETE",
    });
    await environment.advance(20);
    await closing;
  }
  await using it = await tested([importer], { environment, transport: factory });
  await it.bus.send(Import, { id: 9, key: "k" });
  await environment.advance(50);
  assert.deepEqual(new Set(batches.map(String)), new Set(["1", "2", "3", "9"]));
  assert.equal(batches.length, 4);
  await broker[Symbol.asyncDispose]();
});

test("what cannot be read or came too late is set aside before the batch and fails nobody", async () => {
  const factory = memory();
  const broker = await foreigner(factory);
  const batches: number[][] = [];
  const importer = service("importer").handleBatch(
    Import,
    (items) => void batches.push(ids(items)),
    { batch: { size: 4, maxAgeMs: 1_000 } },
  );
  await using it = await tested([importer], { transport: factory });
  const to = { kind: "queue", name: Import.name } as const;
  await broker.send([
    { to, envelope: envelopeOf(Import.name, '{"id":1}') },
    { to, envelope: envelopeOf(Import.name, "{not json") },
    { to, envelope: envelopeOf(Import.name, '{"id":3}', { expirytime: "2001-01-01T00:00:00Z" }) },
    { to, envelope: envelopeOf(Import.name, '{"id":"wrong"}') },
  ]);
  await until("the good one is handled", () => batches.length === 1);
  assert.deepEqual(batches, [[1]]);
  await until("three are dead", async () => (await it.bus.deadLetters.list()).length === 3);
  const reasons = (await it.bus.deadLetters.list()).map(({ failure }) => failure?.reason);
  assert.deepEqual(new Set(reasons), new Set(["DECODE_FAILED", "EXPIRED", "MESSAGE_INVALID"]));
  await broker[Symbol.asyncDispose]();
});

test("what a batch sends leaves with its first complete message; what an item sends leaves with that item alone", async () => {
  const environment = manualEnvironment();
  const importer = service("importer", { publishes: [Imported] }).handleBatch(
    Import,
    async (items, context) => {
      if (items.some(({ context: { attempt } }) => attempt > 1)) return;
      await context.publish(Imported, { ids: ids(items) });
      for (const { value, context: own } of items) await own.publish(Imported, { ids: [value.id] });
      items[1]?.mark(retry({ afterMs: 60_000 }));
    },
    { batch: { size: 3, maxAgeMs: 10 } },
  );
  const seen: number[][] = [];
  const reader = service("reader").on(Imported, ({ ids: of }) => void seen.push(of));
  await using it = await tested([importer, reader], { environment });
  for (const row of rows(3)) await it.bus.send(Import, row);
  await environment.advance(20);
  assert.deepEqual(seen, [[1, 2, 3], [1], [3]]);
});

/** A broker that answers so when a message with that id is completed. */
function answering(answers: Readonly<Record<number, Settled | Error>>): TransportFactory {
  return watched(memory(), (transport) => ({
    receive: (source, options, listener) =>
      transport.receive(source, options, {
        fault: (error) => listener.fault(error),
        deliver: (batch) => {
          for (const delivery of batch) {
            const settle = delivery.settle.bind(delivery);
            const { id } = JSON.parse(String(delivery.envelope.body)) as { id?: number };
            const answer = source.kind === "queue" && id !== undefined ? answers[id] : undefined;
            if (answer === undefined) continue;
            delivery.settle = (settlement) => {
              if (settlement.kind !== "complete") return settle(settlement);
              return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer);
            };
          }
          listener.deliver(batch);
        },
      }),
  }));
}

for (const answer of ["lockLost", "unknown"] as const) {
  test(`when the message that carries the batch's sends answers ${answer}, the next one carries them`, async () => {
    const seen: number[][] = [];
    const importer = service("importer", { publishes: [Imported] })
      .handleBatch(
        Import,
        async (items, context) => {
          await context.publish(Imported, { ids: ids(items) });
          await items[0]?.context.publish(Imported, { ids: [0] });
        },
        { batch: { size: 3, maxAgeMs: 10 } },
      )
      .on(Imported, ({ ids: of }) => void seen.push(of));
    await using it = await tested([importer], { transport: answering({ 1: answer }) });
    for (const row of rows(3)) await it.bus.send(Import, row);
    await until("all is settled", async () => (await it.counted(Import.name))["handled"] === 2);
    await until("the event", () => seen.length === 1);
    assert.deepEqual(seen, [[1, 2, 3]]);
  });
}

test("when what the batch sent is refused, none of its messages is complete", async () => {
  const environment = manualEnvironment();
  const refused = new WaybillError("STORAGE_FULL", "full", { retryable: true });
  const importer = service("importer", { publishes: [Imported] }).handleBatch(
    Import,
    async (items, context) => void (await context.publish(Imported, { ids: ids(items) })),
    { ...once, batch: { size: 3, maxAgeMs: 10 } },
  );
  await using it = await tested([importer], { environment, transport: answering({ 1: refused }) });
  for (const row of rows(3)) await it.bus.send(Import, row);
  await turns();
  const counted = await it.counted(Import.name);
  assert.deepEqual([counted["handled"], counted["retried"]], [0, 3]);
});

test("a batch that throws sends nothing, but what its marked messages sent themselves", async () => {
  const environment = manualEnvironment();
  const importer = service("importer", { publishes: [Imported] }).handleBatch(
    Import,
    async (items, context) => {
      await context.publish(Imported, { ids: ids(items) });
      const first = items.find(({ value }) => value.id === 1);
      await first?.context.publish(Imported, { ids: [1] });
      first?.mark(complete());
      throw Object.assign(new Error("down"), { retryable: true });
    },
    { ...once, batch: { size: 2, maxAgeMs: 10 } },
  );
  const seen: number[][] = [];
  const reader = service("reader").on(Imported, ({ ids: of }) => void seen.push(of));
  await using it = await tested([importer, reader], { environment });
  for (const row of rows(2)) await it.bus.send(Import, row);
  await environment.advance(20);
  assert.deepEqual(seen, [[1]]);
  assert.equal((await it.counted(Import.name))["handled"], 1);
});

test("a mark does not hold for a message whose own send was refused, though nobody awaited it", async () => {
  const environment = manualEnvironment();
  const Slow = event("rows.slow", {
    payload: z.object({ ids: z.array(z.number()) }).refine(async () => Promise.resolve(false)),
  });
  const importer = service("importer", { publishes: [Slow] }).handleBatch(
    Import,
    (items) => {
      for (const item of items) {
        item.mark(complete());
        if (item.value.id === 1) void item.context.publish(Slow, { ids: [1] });
      }
      throw Object.assign(new Error("down"), { retryable: true });
    },
    { ...once, batch: { size: 2, maxAgeMs: 10 } },
  );
  await using it = await tested([importer], { environment });
  for (const row of rows(2)) await it.bus.send(Import, row);
  await turns();
  const counted = await it.counted(Import.name);
  assert.deepEqual([counted["handled"], counted["retried"]], [1, 1]);
});

test("a batch keeps the order of each key: behind a failed message its key is held back, uncounted, and other keys go on", async () => {
  const environment = manualEnvironment();
  const runs: string[] = [];
  const done: string[] = [];
  const importer = service("importer", { publishes: [Imported] }).handleBatch(
    Keyed,
    async (items) => {
      runs.push(
        items.map(({ value, context }) => `${value.key}${value.id}#${context.attempt}`).join(" "),
      );
      for (const item of items) {
        const { key, id } = item.value;
        if (key === "a" && id === 2 && item.context.attempt === 1)
          item.mark(retry({ afterMs: 100 }));
        else await item.context.publish(Imported, { ids: [key === "a" ? id : id * 100] });
      }
    },
    { ...once, batch: { size: 6, maxAgeMs: 10 } },
  );
  const reader = service("reader").on(Imported, ({ ids: of }) => void done.push(of.join()), {
    concurrency: 1,
  });
  await using it = await tested([importer, reader], { environment });
  for (const id of [1, 2, 3]) {
    await it.bus.send(Keyed, { id, key: "a" });
    await it.bus.send(Keyed, { id, key: "b" });
  }
  await environment.advance(20);
  assert.deepEqual(done, ["1", "100", "200", "300"]);
  await it.bus.send(Keyed, { id: 4, key: "a" });
  await environment.advance(200);
  assert.deepEqual(done.slice(4), ["2", "3", "4"]);
  assert.deepEqual(runs, ["a1#1 a2#1 a3#1 b1#1 b2#1 b3#1", "a2#2", "a3#1", "a4#1"]);
});

test("items of a partition are in one batch in order, and nothing passes a failed one", async () => {
  const environment = manualEnvironment();
  const runs: string[] = [];
  const reader = service("reader", { appends: [Log] }).consumeBatch(
    Log,
    (items) => {
      runs.push(
        items.map(({ value, context }) => `${value.id}@${context.position.offset}`).join(" "),
      );
      const bad = items.find(({ value, context }) => value.id === 3 && context.attempt === 1);
      if (bad !== undefined) throw new Error("once");
    },
    { ...once, batch: { size: 4, maxAgeMs: 10 } },
  );
  await using it = await tested([reader], { environment });
  for (const row of rows(6)) await it.bus.append(Log, row);
  await environment.advance(30);
  assert.deepEqual(runs, ["1@0 2@1 3@2 4@3", "1@0 2@1", "3@2 4@3", "3@2"]);
  await environment.advance(1_100);
  assert.deepEqual(runs.slice(4), ["3@2", "4@3 5@4 6@5"]);
  assert.equal((await it.counted(Log.name))["handled"], 6);
});

test("a parked key keeps back what its batch already handled", async () => {
  const environment = manualEnvironment();
  const runs: string[] = [];
  const importer = service("importer").handleBatch(
    Keyed,
    (items) => {
      runs.push(items.map(({ value }) => `${value.key}${value.id}`).join(" "));
      items.find(({ value }) => value.id === 1 && value.key === "a")?.mark(deadLetter("look"));
    },
    { batch: { size: 3, maxAgeMs: 10 }, onDeadLetter: "park" },
  );
  await using it = await tested([importer], { environment });
  await it.bus.send(Keyed, { id: 1, key: "a" });
  await it.bus.send(Keyed, { id: 2, key: "a" });
  await it.bus.send(Keyed, { id: 1, key: "b" });
  await environment.advance(50);
  assert.deepEqual(runs, ["a1 a2 b1"]);
  const [dead] = await it.bus.deadLetters.list();
  await it.bus.deadLetters.discard([dead?.handle ?? ""]);
  await environment.advance(50);
  assert.deepEqual(runs, ["a1 a2 b1", "a2"]);
  assert.equal((await it.counted(Keyed.name))["handled"], 2);
});

test("closing runs an open batch at once; what is gathered behind a busy handler goes back uncounted", async () => {
  const environment = manualEnvironment();
  const factory = memory();
  const batches: number[][] = [];
  const importer = service("importer").handleBatch(
    Import,
    (items) => void batches.push(ids(items)),
    { batch: { size: 10, maxAgeMs: 60_000 } },
  );
  const first = await tested([importer], { environment, transport: factory });
  await first.bus.send(Import, { id: 1, key: "k" });
  await turns();
  assert.equal(batches.length, 0);
  await first.bus.close();
  assert.deepEqual(batches, [[1]]);

  const busy = gate();
  const slow = service("importer").handleBatch(
    Import,
    async (items) => {
      batches.push(ids(items));
      await busy.passed;
    },
    { batch: { size: 2, maxAgeMs: 60_000 } },
  );
  const second = await tested([slow], { environment, transport: factory });
  for (const row of rows(3)) await second.bus.send(Import, row);
  await turns();
  assert.equal((await second.bus.health()).running[Import.name], 2);
  const closing = second.bus.close();
  await turns();
  busy.open();
  await closing;
  assert.deepEqual(batches, [[1], [1, 2]]);
  await using third = await tested([slow], { environment, transport: factory });
  await environment.advance(60_000);
  assert.deepEqual(batches[2], [3]);
  assert.equal((await third.counted(Import.name))["handled"], 1);
});

test("as many batches run at a time as the handler says, and the next one is gathered meanwhile", async () => {
  const environment = manualEnvironment();
  let running = 0;
  let most = 0 as number;
  const sizes: number[] = [];
  const importer = service("importer").handleBatch(
    Import,
    async (items, context) => {
      running += 1;
      most = Math.max(most, running);
      sizes.push(items.length);
      await context.sleep(10);
      running -= 1;
    },
    { batch: { size: 5, maxAgeMs: 1 }, concurrency: 2 },
  );
  await using it = await tested([importer], { environment });
  for (const row of rows(40)) await it.bus.send(Import, row);
  await environment.advance(200);
  assert.equal(most, 2);
  assert.deepEqual(
    sizes,
    Array.from({ length: 8 }, () => 5),
  );
});

test("batches that cannot work are refused at start", async () => {
  const Beside = command("rows.beside", { input: Row, queue: "rows.import" });
  const bad = service("bad")
    .handleBatch(Import, () => undefined, { batch: { size: 100, maxAgeMs: -1 } })
    .handle(Beside, () => undefined)
    .handleBatch(Keyed, () => undefined, { batch: { size: 100, maxAgeMs: 5 }, prefetch: 50 });
  await assert.rejects(tested([bad]), (error: Error) => {
    assert.match(
      error.message,
      /batch\.maxAgeMs of handle\("rows\.import"\).* is -1; give a whole number from 0/,
    );
    assert.match(error.message, /A batch handler shares "rows\.import" with others/);
    assert.match(error.message, /wants 1 batches of 100 at a time and fetches 50 messages ahead/);
    return true;
  });
});
