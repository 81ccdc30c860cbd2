import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event } from "@waybill/contracts";
import * as z from "zod";
import { memory } from "../memory/index.ts";
import { sleep } from "../ports/environment.ts";
import type { Failure, Inspection } from "../ports/transport.ts";
import { service } from "../service.ts";
import { connect } from "../connect.ts";
import { manualEnvironment, recordingLogger, tested, turns, until } from "../testing.fixture.ts";
import { likenessOf } from "./fingerprint.ts";
import { Replay } from "./replay.ts";

const Text = z.object({ text: z.string() });
const Ship = command("shipping.ship", { input: Text });
const Bill = command("billing.bill", { input: Text });
const Shipped = event("shipping.shipped", { payload: Text });
const once = { retry: { immediate: 0, attempts: 1 } } as const;

function failure(message: string, rest: Partial<Failure> = {}): Failure {
  return {
    reason: "HANDLER_FAILED",
    message,
    stack: `Error: ${message}\n    at node:internal/x:1:1\n    at ship (/srv/app/shipping.ts:10:5)\n    at other (/srv/app/x.ts:1:1)`,
    service: "shipping",
    handler: "shipping.handle(shipping.ship)",
    attempts: 1,
    firstFailedAt: 1,
    lastFailedAt: 2,
    ...rest,
  };
}

const fingerprint = (of: Failure): string => likenessOf(of).fingerprint;

test("failures that differ in ids, numbers, quotations, line and folder are alike", () => {
  const one = failure('Order 17 of "ann" (4f1c2a00-1111-4222-8333-444455556666) is lost');
  const other = failure('Order 98 of "bob" (99999999-aaaa-4bbb-8ccc-dddddddddddd) is lost', {
    stack: "Error: …\n    at async ship (file:///opt/release-9/shipping.ts:99:1)",
    attempts: 9,
    firstFailedAt: 77,
    lastFailedAt: 99,
  });
  assert.equal(fingerprint(one), fingerprint(other));
  assert.match(fingerprint(one), /^[0-9a-f]{16}$/);
  assert.equal(
    fingerprint(one),
    "d6f45bc0cc80147c",
    "the same in every release and on every machine",
  );
  assert.deepEqual(
    [likenessOf(one).message, likenessOf(one).place, likenessOf(one).error],
    ['Order # of "…" (#) is lost', "ship in shipping.ts", "Error"],
  );
});

test("failures that differ in reason, error, handler, place or words are not alike", () => {
  const one = failure("Order 17 is lost");
  for (const other of [
    failure("Order 17 is late"),
    failure("Order 17 is lost", { reason: "EXPIRED" }),
    failure("Order 17 is lost", { handler: "billing.handle(billing.bill)" }),
    failure("Order 17 is lost", { stack: (one.stack ?? "").replace("Error", "PaymentError") }),
    failure("Order 17 is lost", { stack: (one.stack ?? "").replace("shipping.ts", "pack.ts") }),
  ])
    assert.notEqual(fingerprint(one), fingerprint(other), JSON.stringify(other));
});

test("any failure has a fingerprint, in bounded time", () => {
  for (const text of [
    "",
    "\n",
    "x".repeat(4_000),
    "1 ".repeat(2_000),
    '"'.repeat(4_000),
    "\u{1F600}",
  ]) {
    const of = failure(text, { stack: `${text}\n at ${"(".repeat(5_000)}` });
    assert.equal(fingerprint(of), fingerprint(of));
  }
  assert.equal(likenessOf(undefined).message, "");
});

test("dead letters are grouped by what they died of, largest group first", async () => {
  const shipping = service("shipping", { sends: [Ship, Bill] })
    .handle(
      Ship,
      ({ text }) => {
        if (text === "type") throw new TypeError("text is no text");
        throw new Error(`Nobody knows ${text}`);
      },
      once,
    )
    .handle(Bill, () => Promise.reject(new Error("No money")), once);
  await using system = await tested([shipping]);
  const { bus } = system;
  for (const text of ["a1", "b2", "type", "c3"]) await bus.send(Ship, { text });
  await bus.send(Bill, { text: "x" });
  await until("5 are dead", async () => (await bus.deadLetters.list()).length === 5);
  const { groups, looked, ungrouped, complete } = await bus.deadLetters.groups();
  assert.deepEqual([looked, ungrouped, complete], [5, 0, true]);
  assert.deepEqual(
    groups.map(({ count, error, message }) => [count, error, message]),
    [
      [3, "Error", "Nobody knows #"],
      [1, "TypeError", "text is no text"],
      [1, "Error", "No money"],
    ],
  );
  assert.deepEqual(groups[0]?.contracts, ["shipping.ship"]);
  assert.match(groups[0]?.place ?? "", /dead-letters\.test\.ts$/);
  assert.deepEqual(bus.deadLetters.read(groups[0]?.sample as never), { text: "a1" });
  assert.equal((await bus.deadLetters.groups({ contract: Bill })).groups.length, 1);
  const few = await bus.deadLetters.groups({ lookAtMax: 2 });
  assert.deepEqual([few.looked, few.complete], [2, false]);
  await assert.rejects(bus.deadLetters.groups({ lookAtMax: 0 }), { code: "OPTION_INVALID" });
});

test("a group is replayed and followed: handled, failed again, deferred", async () => {
  let mended = false;
  const shipping = service("shipping", { sends: [Ship] }).handle(
    Ship,
    ({ text }) => {
      if (!mended || text === "bad 9") throw new Error(`Nobody knows ${text}`);
    },
    once,
  );
  await using system = await tested([shipping]);
  const { deadLetters } = system.bus;
  for (const text of ["item 1", "item 2", "item 3", "bad 9"]) await system.bus.send(Ship, { text });
  await until("4 are dead", async () => (await deadLetters.list()).length === 4);
  mended = true;
  const [largest] = (await deadLetters.groups()).groups;
  const report = await deadLetters.replayAll({ fingerprint: largest?.fingerprint ?? "" });
  assert.deepEqual(report, {
    found: 3,
    replayed: 3,
    handled: 3,
    discarded: 0,
    failedAgain: 0,
    deferred: 0,
    waiting: 0,
    notFollowed: 0,
    failures: [],
    stopped: false,
  });
  const again = await deadLetters.replayAll({ address: "shipping.ship" });
  assert.deepEqual([again.replayed, again.handled, again.failedAgain], [1, 0, 1]);
  const [letter] = await deadLetters.list();
  assert.deepEqual(again.failures, [letter?.handle]);
  assert.equal((await deadLetters.replayAll({ contract: Bill })).found, 0);
});

test("a replay keeps its rate by the bus's clock, and says what still waits when it stops following", async () => {
  const environment = manualEnvironment();
  const ranAt: number[] = [];
  let mended = false;
  const shipping = service("shipping", { sends: [Ship] }).handle(
    Ship,
    async (_input, context) => {
      if (!mended) throw new Error("no");
      ranAt.push(environment.clock.monotonic());
      if (ranAt.length === 5) await context.sleep(3_600_000);
    },
    once,
  );
  await using system = await tested([shipping], { environment });
  const { deadLetters } = system.bus;
  for (let index = 0; index < 5; index++) await system.bus.send(Ship, { text: String(index) });
  await until("5 are dead", async () => (await deadLetters.list()).length === 5);
  mended = true;
  const reporting = deadLetters.replayAll({ perSecond: 2, followMs: 10_000 });
  await turns();
  for (let tenths = 0; tenths < 130; tenths++) await environment.advance(100);
  const report = await reporting;
  assert.deepEqual(ranAt, [0, 500, 1_000, 1_500, 2_000]);
  assert.deepEqual([report.handled, report.waiting, report.replayed], [4, 1, 5]);
  await environment.advance(3_600_000);
});

test("what a person discards during a replay is told apart from what is handled", async () => {
  const environment = manualEnvironment();
  let mended = false;
  const shipping = service("shipping", { sends: [Ship] }).handle(
    Ship,
    () => {
      if (!mended) throw new Error("no");
    },
    once,
  );
  await using system = await tested([shipping], { environment });
  const { deadLetters, waiting } = system.bus;
  for (let index = 0; index < 3; index++) await system.bus.send(Ship, { text: String(index) });
  await until("3 are dead", async () => (await deadLetters.list()).length === 3);
  mended = true;
  const [first] = await deadLetters.list();
  system.bus.pauseHere(Ship.name);
  const reporting = deadLetters.replayAll();
  await until("they are back", async () => (await waiting.list()).length === 3);
  assert.equal(await waiting.discard([first?.handle ?? ""]), 1);
  system.bus.resumeHere(Ship.name);
  await environment.advance(2_000);
  const { replayed, handled, discarded } = await reporting;
  assert.deepEqual([replayed, handled, discarded], [3, 2, 1]);
});

test("a high rate is kept in small steps, and time lost is not made up for", async () => {
  const environment = manualEnvironment();
  const steps: (readonly [at: number, letters: number])[] = [];
  let stalled = false;
  const slow: Pick<Inspection, "replay" | "follow"> = {
    follow: (handles) => Promise.resolve(handles.map(() => "gone" as const)),
    replay: async (handles) => {
      steps.push([environment.clock.monotonic(), handles.length]);
      if (!stalled) await sleep(environment.timers, 1_000);
      stalled = true;
      return handles.length;
    },
  };
  const handles = Array.from({ length: 20 }, (_, index) => String(index));
  const reporting = new Replay(slow, environment, { perSecond: 100 }).run(handles, []);
  await environment.advance(2_000);
  assert.equal((await reporting).handled, 20);
  assert.deepEqual(steps, [
    [0, 5],
    [1_000, 5],
    [1_050, 5],
    [1_100, 5],
  ]);
});

test("a replay that is stopped says how far it came; bad settings are refused", async () => {
  const environment = manualEnvironment();
  let mended = false;
  const shipping = service("shipping", { sends: [Ship] }).handle(
    Ship,
    () => {
      if (!mended) throw new Error("no");
    },
    once,
  );
  await using system = await tested([shipping], { environment });
  const { deadLetters } = system.bus;
  for (let index = 0; index < 4; index++) await system.bus.send(Ship, { text: String(index) });
  await until("4 are dead", async () => (await deadLetters.list()).length === 4);
  mended = true;
  const controller = new AbortController();
  const reporting = deadLetters.replayAll({ perSecond: 1, signal: controller.signal });
  await environment.advance(1_000);
  controller.abort();
  const report = await reporting;
  assert.deepEqual([report.found, report.replayed, report.handled], [4, 2, 2]);
  assert.equal(report.stopped, true);
  assert.equal((await deadLetters.list()).length, 2);
  for (const bad of [{ perSecond: 0 }, { perSecond: Number.NaN }, { followMs: -1 }])
    await assert.rejects(deadLetters.replayAll(bad), { code: "OPTION_INVALID" });
});

test("what nobody had subscribed to is published again, and not followed", async () => {
  const transport = memory();
  const publisher = service("publisher", { publishes: [Shipped] });
  await using early = await connect({
    transport,
    services: [publisher],
    logger: recordingLogger(),
  });
  await early.publish(Shipped, { text: "x" });
  assert.deepEqual((await early.deadLetters.replayAll()).replayed, 0, "still nobody subscribes");
  const taken: string[] = [];
  const reader = service("reader").on(Shipped, ({ text }) => void taken.push(text));
  await using late = await tested([reader], { transport });
  const report = await late.bus.deadLetters.replayAll();
  assert.deepEqual([report.replayed, report.notFollowed, report.handled], [1, 1, 0]);
  await until("it is handled", () => taken.length === 1);
});
