import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, feed } from "@waybill/contracts";
import { type Bus, type FeedContext, type Logger, connect, memory, service } from "@waybill/core";
import { fakeEnvironment } from "./environment.ts";
import { withFaults } from "./faults.ts";
import type { FaultPlan } from "./faults/plan.ts";

const seeds = 12;
const count = 200;
const logger: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

const Whole: Schema<number> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) =>
      Number.isSafeInteger(value) ? { value: value as number } : { issues: [{ message: "no" }] },
  },
};
const Count = feed("numbers.count", {
  input: Whole,
  item: Whole,
  resume: { cursor: Whole, of: (item) => item },
});

/** Each pauses now and then, so that its items are on their way with beats and credit between them. */
const numbers = service("numbers").serve(
  Count,
  async function* (most, context: FeedContext<unknown, never, number>) {
    for (let next = (context.resumeFrom ?? -1) + 1; next < most; next++) {
      if (next % 20 === 19) await context.sleep(700);
      yield next;
    }
  },
);
const reader = service("reader", { opens: [Count] });

const plans: Readonly<Record<string, FaultPlan>> = {
  "duplicated frames": { duplicate: 0.3 },
  "delayed frames": { delay: 0.05, delayMsMax: 3_000 },
  "reordered frames": { reorder: 0.3 },
  "lost settlements": { dropSettlement: 0.1, loseAnswer: 0.1 },
  "failing sends": { failSend: 0.02, loseConfirm: 0.02 },
  "all of these": {
    duplicate: 0.1,
    delay: 0.02,
    delayMsMax: 1_000,
    reorder: 0.1,
    dropSettlement: 0.05,
    failSend: 0.01,
    loseConfirm: 0.01,
  },
};

for (const [what, plan] of Object.entries(plans)) {
  test(`a resumed feed keeps its order, and each item once, through ${what} and servers that come and go (${seeds} seeds)`, async (context) => {
    let resumed = 0;
    for (let seed = 1; seed <= seeds; seed++) {
      const environment = fakeEnvironment({ seed });
      const transport = withFaults(memory(), { seed, plan });
      const shared = { transport, environment, logger };
      const client = await connect({ ...shared, services: [reader] });
      const servers: Bus[] = [await connect({ ...shared, services: [numbers] })];
      const items: number[] = [];
      const outcome: { error?: unknown } = {};
      const reading = (async () => {
        const resume = { attempts: 1_000, withinMs: 600_000 };
        for await (const item of client.open(Count, count, { resume, bufferMax: 32 }))
          items.push(item);
      })().then(
        () => (outcome.error = "none"),
        (error: unknown) => (outcome.error = error),
      );
      for (let step = 0; step < 400 && outcome.error === undefined; step++) {
        await environment.advance(1_000);
        if (step % 7 !== 3) continue;
        servers.push(await connect({ ...shared, services: [numbers] }));
        await settle(environment, servers.shift()?.close({ deadlineMs: 1_000 }));
      }
      assert.equal(outcome.error, "none", `seed ${seed}: ${items.length} items`);
      await reading;
      assert.deepEqual(
        items,
        Array.from({ length: count }, (_, index) => index),
        `seed ${seed}`,
      );
      resumed += (await client.health()).contracts[Count.name]?.resumed ?? 0;
      transport.calm();
      for (const bus of [client, ...servers]) await settle(environment, bus.close());
    }
    context.diagnostic(`resumed ${resumed} times`);
    assert.ok(resumed > 0);
  });
}

/** Lets time pass until that is done. */
async function settle(
  environment: ReturnType<typeof fakeEnvironment>,
  work: Promise<unknown> | undefined,
): Promise<void> {
  const waiting = new Set([work]);
  const end = (): void => waiting.clear();
  work?.then(end, end);
  for (let step = 0; step < 100 && waiting.size > 0; step++) await environment.advance(500);
}
