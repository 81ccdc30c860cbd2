import assert from "node:assert/strict";
import { test } from "node:test";
import { feed, query } from "@waybill/contracts";
import * as z from "zod";
import { memory } from "../memory/index.ts";
import { service } from "../service.ts";
import { gate, manualEnvironment, tested, turns, until } from "../testing.fixture.ts";

const Sku = z.object({ sku: z.string() });
const GetPrice = query("pricing.get-price", { input: Sku, output: z.number() });
const Watch = feed("pricing.watch", { input: Sku, item: z.number() });
const caller = service("caller", { asks: [GetPrice], opens: [Watch] });

/** An owner whose answers come when the test opens the gate. */
function slowOwner(concurrency: number, prefetch = 100) {
  const go = gate();
  const seen: string[] = [];
  const most = { running: 0, ever: 0 };
  const pricing = service("pricing").answer(
    GetPrice,
    async ({ sku }) => {
      seen.push(sku);
      most.running += 1;
      most.ever = Math.max(most.ever, most.running);
      await go.passed;
      await turns(2);
      most.running -= 1;
      return sku.length;
    },
    { concurrency, prefetch },
  );
  return { pricing, go, seen, most };
}

test("a handler's concurrency bounds calls from its own process and from others together, in the order of their coming", async () => {
  const { pricing, go, seen, most } = slowOwner(2);
  const transport = memory();
  await using owner = await tested([caller, pricing], { transport });
  await using other = await tested([caller], { transport });
  const local = ["a", "b", "c", "d"].map((sku) => owner.bus.ask(GetPrice, { sku }));
  await until("two run", () => most.running === 2);
  const remote = ["e", "f"].map((sku) => other.bus.ask(GetPrice, { sku }));
  await turns();
  assert.deepEqual(seen, ["a", "b"]);
  assert.equal((await owner.bus.health()).running["pricing.get-price"], 2);
  go.open();
  assert.deepEqual(await Promise.all([...local, ...remote]), [1, 1, 1, 1, 1, 1]);
  assert.equal(most.ever, 2);
  assert.deepEqual(seen.slice(0, 4), ["a", "b", "c", "d"]);
  assert.equal((await owner.bus.health()).running["pricing.get-price"], 0);
});

test("a call too many is refused with what to do, and those that wait are answered", async () => {
  const { pricing, go } = slowOwner(1, 2);
  await using it = await tested([caller, pricing]);
  const calls = ["a", "b", "c"].map((sku) => it.bus.ask(GetPrice, { sku }));
  await turns();
  await assert.rejects(it.bus.ask(GetPrice, { sku: "d" }), {
    code: "ANSWER_FAILED",
    retryable: true,
    message: /2 more calls of it wait already. Ask again later/,
  });
  assert.equal((await it.counted("pricing.get-price"))["failed"], 1);
  go.open();
  assert.deepEqual(await Promise.all(calls), [1, 1, 1]);
});

test("a call that waits ends with its deadline or its caller, and its handler never runs", async () => {
  const { pricing, go, seen } = slowOwner(1);
  const environment = manualEnvironment();
  await using it = await tested([caller, pricing], { environment });
  const running = it.bus.ask(GetPrice, { sku: "a" });
  const late = it.bus.ask(GetPrice, { sku: "late" }, { timeoutMs: 500 });
  const cancelled = new AbortController();
  const left = it.bus.ask(GetPrice, { sku: "left" }, { signal: cancelled.signal });
  const ends = Promise.all([
    assert.rejects(late, { code: "DEADLINE_EXCEEDED" }),
    assert.rejects(left, { code: "CALL_CANCELLED" }),
  ]);
  await turns();
  cancelled.abort();
  await environment.advance(600);
  await ends;
  const next = it.bus.ask(GetPrice, { sku: "next" });
  go.open();
  assert.deepEqual(await Promise.all([running, next]), [1, 4]);
  assert.deepEqual(seen, ["a", "next"]);
  assert.equal((await it.counted("pricing.get-price"))["abandoned"], 2);
});

test("a remote call that waits for a place ends with its deadline", async () => {
  const { pricing, go, seen } = slowOwner(1);
  const environment = manualEnvironment();
  const transport = memory();
  await using owner = await tested([caller, pricing], { transport, environment });
  await using other = await tested([caller], { transport, environment });
  const running = owner.bus.ask(GetPrice, { sku: "a" });
  await turns();
  const late = other.bus.ask(GetPrice, { sku: "late" }, { timeoutMs: 500 });
  const ends = assert.rejects(late, { code: "DEADLINE_EXCEEDED" });
  await environment.advance(600);
  await ends;
  go.open();
  assert.equal(await running, 1);
  await turns();
  assert.deepEqual(seen, ["a"]);
});

test("calls of a paused query wait in its queue, local ones too: for resume() or for another process", async () => {
  const transport = memory();
  const by: string[] = [];
  const owner = (name: string) =>
    service("pricing").answer(GetPrice, ({ sku }) => (by.push(`${name} ${sku}`), sku.length));
  await using first = await tested([caller, owner("first")], { transport });
  first.bus.pauseHere("pricing.get-price");
  const waiting = first.bus.ask(GetPrice, { sku: "tea" });
  await turns();
  assert.deepEqual(by, []);
  first.bus.resumeHere("pricing.get-price");
  assert.equal(await waiting, 3);
  first.bus.pauseHere("pricing.get-price");
  await using second = await tested([owner("second")], { transport });
  assert.equal(await first.bus.ask(GetPrice, { sku: "coffee" }), 6);
  assert.deepEqual(by, ["first tea", "second coffee"]);
  assert.equal(second.logger.has("error", /./), false);
});

test("a paused feed opens no more, and what is open goes on", async () => {
  const go = gate();
  await using it = await tested([
    caller,
    service("pricing").serve(Watch, async function* ({ sku }) {
      yield sku.length;
      await go.passed;
      yield 0;
    }),
  ]);
  const open = it.bus.open(Watch, { sku: "tea" })[Symbol.asyncIterator]();
  assert.equal((await open.next()).value, 3);
  it.bus.pauseHere("pricing.watch");
  const later = it.bus.open(Watch, { sku: "coffee" })[Symbol.asyncIterator]();
  let first: unknown;
  const next = later.next().then((item) => (first = item.value));
  go.open();
  assert.equal((await open.next()).value, 0);
  await turns();
  assert.equal(first, undefined);
  it.bus.resumeHere("pricing.watch");
  await next;
  assert.equal(first, 6);
  await later.return?.();
  await open.return?.();
});

for (const localCalls of [true, false]) {
  const way = localCalls ? "in the process" : "over the transport";
  test(`feeds that are open ${way} count as running`, async () => {
    await using it = await tested(
      [
        caller,
        service("pricing").serve(Watch, async function* ({ sku }, { signal }) {
          yield sku.length;
          await new Promise((resolve) => signal.addEventListener("abort", resolve));
        }),
      ],
      { localCalls },
    );
    const running = async () => (await it.bus.health()).running["pricing.watch"];
    const open = it.bus.open(Watch, { sku: "tea" })[Symbol.asyncIterator]();
    assert.equal((await open.next()).value, 3);
    assert.equal(await running(), 1);
    await open.return?.();
    await until("it is closed", async () => (await running()) === 0);
  });
}
