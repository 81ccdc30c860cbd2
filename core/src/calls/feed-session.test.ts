import assert from "node:assert/strict";
import { test } from "node:test";
import { feed } from "@waybill/contracts";
import * as z from "zod";
import { type ErrorCode, WaybillError } from "../errors.ts";
import { memory } from "../memory/index.ts";
import type { Outgoing } from "../ports/transport.ts";
import { service } from "../service.ts";
import { gate, manualEnvironment, tested, turns, until, watched } from "../testing.fixture.ts";

const Watch = feed("prices.watch", { input: z.object({ most: z.number() }), item: z.number() });
const caller = service("caller", { opens: [Watch] });

for (const where of ["another process", "this process"]) {
  test(`a feed of ${where} whose handler does not hear that its caller has left gives its place up, and is shown until it ends`, async () => {
    const environment = manualEnvironment();
    const transport = memory();
    const deaf = gate();
    const prices = service("prices").serve(Watch, async function* () {
      yield 1;
      await deaf.passed;
    });
    await using owner = await tested([prices, caller], { transport, environment });
    await using other = await tested([caller], { transport, environment });
    const { bus } = where === "this process" ? owner : other;
    const leaving = new AbortController();
    const items = bus.open(Watch, { most: 1 }, { signal: leaving.signal })[Symbol.asyncIterator]();
    assert.equal((await items.next()).value, 1);
    const next = assert.rejects(items.next(), { code: "CALL_CANCELLED" });
    leaving.abort(new WaybillError("CALL_CANCELLED", "enough"));
    await next;
    await environment.advance(0);
    await environment.advance(999);
    assert.deepEqual((await owner.bus.health()).overdue, {});
    await environment.advance(1);
    const { overdue, contracts } = await owner.bus.health();
    assert.deepEqual(overdue, { "prices.serve(prices.watch)": 1 });
    assert.equal(contracts[Watch.name]?.timedOut, 1);
    assert.ok(owner.logger.has("error", /prices\.serve\(prices\.watch\) was given up 1000 ms/));
    deaf.open();
    await turns();
    const { overdue: none, running } = await owner.bus.health();
    assert.deepEqual([none, running[Watch.name]], [{}, 0]);
  });
}

async function disturbed(fault: { now: ErrorCode | undefined }) {
  const environment = manualEnvironment();
  const transport = memory();
  const numbers = service("prices").serve(Watch, async function* ({ most }, context) {
    for (let next = 0; next < most; next++) {
      await context.sleep(500);
      yield next;
    }
  });
  const shaky = watched(transport, (inner) => ({
    send: (batch: readonly Outgoing[]) =>
      fault.now === undefined
        ? inner.send(batch)
        : Promise.reject(
            new WaybillError(fault.now, "down", { retryable: fault.now === "TRANSPORT_FAILED" }),
          ),
  }));
  const owner = await tested([numbers], { transport: shaky, environment });
  const other = await tested([caller], { transport, environment });
  const got: number[] = [];
  const ended = (async () => {
    for await (const item of other.bus.open(Watch, { most: 8 })) got.push(item);
    return "end";
  })().catch(({ code }: WaybillError) => code);
  await environment.advance(1_200);
  assert.deepEqual(got, [0, 1]);
  const close = (): Promise<unknown> => Promise.all([owner.bus.close(), other.bus.close()]);
  return { environment, owner, got, ended, close };
}

test("a feed outlives a transport that fails for a moment: nothing is lost, and nobody opens it again", async () => {
  const fault: { now: ErrorCode | undefined } = { now: undefined };
  const it = await disturbed(fault);
  fault.now = "TRANSPORT_FAILED";
  await it.environment.advance(3_000);
  assert.deepEqual(it.got, [0, 1]);
  fault.now = undefined;
  await it.environment.advance(10_000);
  assert.equal(await it.ended, "end");
  assert.deepEqual(it.got, [0, 1, 2, 3, 4, 5, 6, 7]);
  await it.close();
});

for (const code of ["TRANSPORT_FAILED", "UNROUTABLE"] as const) {
  test(`a feed ends at its server when its items cannot be sent: ${code}`, async () => {
    const fault: { now: ErrorCode | undefined } = { now: undefined };
    const it = await disturbed(fault);
    fault.now = code;
    const running = async () => (await it.owner.bus.health()).running[Watch.name];
    await it.environment.advance(code === "UNROUTABLE" ? 1_000 : 5_000);
    assert.equal(await running(), code === "UNROUTABLE" ? 0 : 1);
    await it.environment.advance(20_000);
    await until("it is over", async () => (await running()) === 0);
    assert.equal(await it.ended, "FEED_FAILED");
    await it.close();
  });
}
