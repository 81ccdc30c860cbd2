import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event } from "@waybill/contracts";
import * as fc from "fast-check";
import * as z from "zod";
import { complete, deadLetter, retry } from "../handling/outcome.ts";
import { service } from "../service.ts";
import { manualEnvironment, tested } from "../testing.fixture.ts";

const Step = z.object({ key: z.string(), id: z.number() });
const Keyed = command("steps.keyed", { input: Step, key: ({ key }) => key });
const Plain = command("steps.plain", { input: Step });
const Done = event("steps.done", { payload: Step });

/** What the handler does with a message at its first attempts: it marks it, or throws for the whole batch. */
const fate = fc.constantFrom("fine", "marked", "retry", "dead", "throw", "refused");
const plan = fc.record({
  keyed: fc.boolean(),
  size: fc.integer({ min: 1, max: 7 }),
  concurrency: fc.integer({ min: 1, max: 3 }),
  messages: fc.array(fc.record({ key: fc.constantFrom("a", "b", "c"), fate }), {
    minLength: 1,
    maxLength: 25,
  }),
});

test("whatever a handler of batches marks and throws, each message is complete or dead once, in the order of its key, and only complete ones have sent", async () => {
  await fc.assert(
    fc.asyncProperty(plan, async ({ keyed, size, concurrency, messages }) => {
      const environment = manualEnvironment();
      const contract = keyed ? Keyed : Plain;
      const sent: number[] = [];
      const running = new Set<string>();
      const steps = service("steps", { publishes: [Done] })
        .handleBatch(
          contract,
          async (items, context) => {
            const keys = new Set(keyed ? items.map(({ value }) => value.key) : []);
            for (const key of keys) {
              assert.ok(!running.has(key), `two batches of the key ${key} at a time`);
              running.add(key);
            }
            await context.sleep(3);
            for (const key of keys) running.delete(key);
            for (const item of items) {
              const { attempt } = item.context;
              const own = messages[item.value.id]?.fate;
              const what = attempt > 2 && own !== "dead" ? "fine" : own;
              await item.context.publish(Done, item.value);
              if (what === "retry") item.mark(retry({ afterMs: 20 }));
              else if (what === "dead") item.mark(deadLetter("no"));
              else if (what === "marked") item.mark(complete());
              else if (what === "throw") throw new Error("no");
              else if (what === "refused")
                throw Object.assign(new Error("down"), { retryable: true });
            }
          },
          {
            batch: { size, maxAgeMs: 5 },
            concurrency,
            retry: { immediate: 1, attempts: 4, delayMs: 10, jitter: 0 },
          },
        )
        .on(Done, ({ id }) => void sent.push(id), { concurrency: 1 });
      const it = await tested([steps], { environment });
      for (const [id, { key }] of messages.entries()) await it.bus.send(contract, { key, id });
      await environment.advance(5_000);
      const dead = (await it.bus.deadLetters.list({ limit: 1_000 })).map(
        ({ envelope }) => (JSON.parse(String(envelope.body)) as { id: number }).id,
      );
      const all = messages.map((_, id) => id);
      assert.deepEqual(
        [...sent, ...dead].toSorted((left, right) => left - right),
        all,
      );
      assert.deepEqual(new Set(dead), new Set(all.filter((id) => messages[id]?.fate === "dead")));
      for (const key of keyed ? ["a", "b", "c"] : []) {
        const ofKey = sent.filter((id) => messages[id]?.key === key);
        assert.deepEqual(
          ofKey,
          ofKey.toSorted((left, right) => left - right),
        );
      }
      const counted = await it.counted(contract.name);
      assert.deepEqual([counted["handled"], counted["lockLost"]], [sent.length, 0]);
      await it[Symbol.asyncDispose]();
    }),
    { numRuns: 60 },
  );
});
