import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event, feed, query, stream } from "@waybill/contracts";
import * as z from "zod";
import { connect } from "../connect.ts";
import { memory } from "../memory/index.ts";
import type { Inspection } from "../ports/transport.ts";
import { service } from "../service.ts";
import { manualEnvironment, recordingLogger, tested, until, watched } from "../testing.fixture.ts";

const Text = z.object({ text: z.string() });
const PlaceOrder = command("orders.place", { input: Text, queue: "orders" });
const CancelOrder = command("orders.cancel", { input: Text, queue: "orders", version: 1 });
const OrderPlaced = event("orders.placed", { payload: Text, attributes: ({ text }) => ({ text }) });
const GetOrder = query("orders.get", { input: Text, output: Text });
const WatchOrders = feed("orders.watch", { input: Text, item: Text });
const Readings = stream("orders.readings", { item: Text, key: ({ text }) => text });
const Unknown = command("orders.unknown", { input: Text });

const orders = service("orders", { publishes: [OrderPlaced] })
  .handle(PlaceOrder, () => undefined, {
    orderedBy: ({ text }) => text,
    concurrency: 8,
    lockMs: 60_000,
  })
  .handle(CancelOrder, () => undefined, {
    retry: { immediate: 0, attempts: 3, delayMs: 1_000, factor: 3, jitter: 0 },
  })
  .answer(GetOrder, (input) => input)
  .serve(WatchOrders, async function* (input) {
    yield input;
  });
const billing = service("billing", { sends: [PlaceOrder], asks: [GetOrder] })
  .on(OrderPlaced, () => undefined, { name: "large", where: { text: { prefix: "large" } } })
  .consume(Readings, () => undefined);

test("a command is explained: address, owner, settings in force, retries with their pauses", async () => {
  await using system = await tested([orders, billing]);
  const explained = await system.bus.explain(PlaceOrder);
  assert.deepEqual(explained.to, { kind: "queue", name: "orders" });
  assert.equal(explained.accepted, "memory");
  assert.deepEqual(explained.speakers, ["billing"]);
  const [taker, ...others] = explained.takers;
  assert.equal(others.length, 0);
  assert.equal(taker?.handler, "orders.handle(orders.place)");
  assert.match(taker?.place ?? "", /explain\.test\.ts:\d+/);
  assert.deepEqual(taker?.sharedWith, ["orders.cancel"]);
  assert.deepEqual([taker?.concurrency, taker?.prefetch, taker?.lockMs], [8, 32, 60_000]);
  assert.match(taker?.order ?? "", /^key/);
  assert.deepEqual(taker?.retry?.pausesMs, [500, 2_000, 8_000, 32_000, 128_000]);
  assert.equal(taker?.retry?.inPlace, true);
  assert.equal(taker?.state?.receivers, 1);
  assert.match(explained.text, /500 ms, 2 s, 8 s, 32 s, 2 min 8 s, each up to 20 % shorter/);
  assert.match(explained.text, /together with orders\.cancel/);
  assert.match(explained.text, /lies in the memory of the broker/);
  const cancel = await system.bus.explain(CancelOrder);
  assert.deepEqual(cancel.takers[0]?.retry?.pausesMs, [1_000, 3_000]);
  assert.match(cancel.text, /3 attempts, after pauses of 1 s, 3 s\n/);
  assert.match(cancel.text, /at most 3 times in all/);
});

test("what somebody waits for is locked for less than its caller waits; what nobody waits for, for longer", async () => {
  await using system = await tested([orders, billing]);
  const locks = async (contract: Parameters<typeof system.bus.explain>[0]) =>
    (await system.bus.explain(contract)).takers.map(({ lockMs }) => lockMs);
  assert.deepEqual(await locks(GetOrder), [5_000]);
  assert.deepEqual(await locks(WatchOrders), [5_000]);
  assert.deepEqual(await locks(OrderPlaced), [30_000]);
});

test("the pauses that are explained are the pauses that are taken", async () => {
  const environment = manualEnvironment();
  const ranAt: number[] = [];
  const failing = service("failing", { sends: [Unknown] }).handle(
    Unknown,
    () => {
      ranAt.push(environment.clock.now());
      throw new Error("no");
    },
    { retry: { immediate: 0, attempts: 4, delayMs: 700, factor: 5, delayMsMax: 9_000, jitter: 0 } },
  );
  await using system = await tested([failing], { environment });
  const { takers } = await system.bus.explain(Unknown);
  await system.bus.send(Unknown, { text: "x" });
  await environment.advance(60_000);
  await until("it is dead", async () => (await system.bus.deadLetters.list()).length === 1);
  const taken = ranAt.slice(1).map((at, index) => at - (ranAt[index] ?? 0));
  assert.deepEqual(takers[0]?.retry?.pausesMs, [700, 3_500, 9_000]);
  assert.deepEqual(taken, [700, 3_500, 9_000]);
  assert.match((await system.bus.explain(Unknown)).text, /1 dead;/);
});

test("an event is explained with its rules, and with the subscriptions of other processes", async () => {
  const transport = memory();
  const elsewhere = service("elsewhere").on(OrderPlaced, () => undefined);
  await using other = await connect({
    transport,
    services: [elsewhere],
    logger: recordingLogger(),
  });
  await using system = await tested([orders, billing], { transport });
  const explained = await system.bus.explain(OrderPlaced);
  assert.deepEqual(explained.takers[0]?.where, { text: { prefix: "large" } });
  assert.equal(explained.takers[0]?.address, "orders.placed/billing.large");
  assert.deepEqual(
    explained.elsewhere?.map(({ address }) => address),
    ["orders.placed/elsewhere"],
  );
  assert.match(explained.text, /where \{"text":\{"prefix":"large"\}\}/);
  assert.match(explained.text, /On the broker: "orders\.placed\/elsewhere"/);
  assert.match(explained.text, /SUBSCRIBER_MISSING/);
  assert.equal((await other.explain(OrderPlaced)).elsewhere?.length, 1);
});

test("queries, feeds and streams are explained as what they are", async () => {
  await using system = await tested([orders, billing]);
  const asked = await system.bus.explain(GetOrder);
  assert.equal(asked.accepted, undefined);
  assert.equal(asked.delayMsMax, 0);
  assert.equal(asked.takers[0]?.retry, undefined);
  assert.match(asked.text, /DEADLINE_EXCEEDED/);
  assert.doesNotMatch(asked.text, /retries:|EXPIRED/);
  const opened = await system.bus.explain(WatchOrders);
  assert.match(opened.text, /silent for 6 s: the caller has FEED_FAILED/);
  const read = await system.bus.explain(Readings);
  assert.equal(read.takers[0]?.order, "partition");
  assert.equal(read.takers[0]?.address, "orders.readings@billing");
  assert.match(read.text, /retention ends before a group has read it/);
  assert.doesNotMatch(read.text, /ttlMs|defer\(\)/);
});

test("a contract that only leaves is explained, too; one that nobody here knows is not", async () => {
  const script = service("script", { sends: [Unknown] });
  await using system = await tested([script]);
  const explained = await system.bus.explain(Unknown);
  assert.equal(explained.takers.length, 0);
  assert.match(explained.text, /No handler of this bus\./);
  assert.match(explained.text, /On the broker: "orders\.unknown": 0 ready/);
  await assert.rejects(system.bus.explain(PlaceOrder), { code: "CONTRACT_NOT_DECLARED" });
});

test("a broker that does not answer is said so", async () => {
  const transport = watched(memory(), ({ inspection }) => ({
    inspection: Object.create(inspection, {
      addresses: { value: () => Promise.reject(new Error("gone")) },
    }) as Inspection,
  }));
  await using system = await tested([orders, billing], { transport });
  const { elsewhere, text } = await system.bus.explain(PlaceOrder);
  assert.equal(elsewhere, undefined);
  assert.match(text, /The broker did not say/);
});

test("a rate and a circuit breaker are explained in numbers and in words", async () => {
  const limited = service("limited").handle(Unknown, () => undefined, {
    rateLimit: { count: 30, perMs: 60_000, burst: 5, key: () => "one" },
    circuitBreaker: { breakMs: 5_000 },
  });
  await using system = await tested([limited]);
  const { takers, text } = await system.bus.explain(Unknown);
  assert.deepEqual(takers[0]?.rate, { perSecond: 0.5, burst: 5, perKey: true });
  assert.equal(takers[0]?.circuit?.failureRatio, 0.5);
  assert.match(text, /rate: at most one in 2 s in each process for each key, 5 of them at once/);
  assert.match(
    text,
    /circuit: opens when 50 % of at least 10 runs in 30 s fail; a probe after 5 s, then after up to 5 min/,
  );
});

test("a handler of batches and its time limit are explained", async () => {
  const importer = service("importer").handleBatch(PlaceOrder, () => undefined, {
    batch: { size: 500, maxAgeMs: 50 },
    timeoutMs: 90_000,
  });
  await using system = await tested([importer]);
  const { takers, text } = await system.bus.explain(PlaceOrder);
  const [taker] = takers;
  assert.deepEqual(taker?.batch, { size: 500, maxAgeMs: 50, bytesMax: 4_194_304 });
  assert.deepEqual([taker.concurrency, taker.prefetch, taker.timeoutMs], [1, 2_000, 90_000]);
  assert.match(
    text,
    /in batches of up to 500 messages or 4194304 bytes, closed when the oldest has waited 50 ms/,
  );
  assert.match(text, /given up when a run has not ended after 1 min 30 s and a second/);
  assert.match(text, /does not end within 1 min 30 s: .*\(HANDLER_TIMED_OUT\)/);
});
