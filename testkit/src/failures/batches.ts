import assert from "node:assert/strict";
import { service } from "@waybill/core";
import { type FailureCase, lockMs, quick } from "./case.ts";
import { stallsAndGoesOn } from "./late.ts";

/** What becomes of the messages of a batch, and of their neighbours. */
export const batchFailures: readonly FailureCase[] = [
  {
    id: "batch-poison",
    what: "a handler of batches throws because of one of its messages",
    then: "the batch runs again by halves until that message fails alone; its neighbours are complete, and it is retried and ends among the dead letters by itself",
    run: async (failing) => {
      const DoJob = failing.command("job");
      const done: string[] = [];
      const worker = service("worker").handleBatch(
        DoJob,
        (items) => {
          if (items.some(({ value }) => value.id === "poison")) throw new Error("poisoned");
          done.push(...items.map(({ value }) => value.id));
        },
        { batch: { size: 5, maxAgeMs: 20 }, retry: { ...quick, attempts: 2 } },
      );
      const process = await failing.process(worker);
      for (const id of ["1", "2", "poison", "4", "5"]) await process.bus.send(DoJob, { id });
      const [dead] = await failing.dead(process);
      assert.deepEqual([dead?.failure?.message, dead?.failure?.attempts], ["poisoned", 2]);
      assert.deepEqual(new Set(done), new Set(["1", "2", "4", "5"]));
      assert.equal((await process.bus.deadLetters.list()).length, 1);
    },
  },
  {
    id: "batch-stream-fails",
    what: "a handler of batches fails for one item of a partition",
    then: "what stands before it is complete; it is retried in place, and nothing behind it passes, though it was in the same batch",
    notFor: ({ streams }) => (streams ? undefined : "has no streams"),
    run: async (failing) => {
      const Log = failing.stream("log");
      const done: string[] = [];
      let failures = 0;
      const reader = service("reader", { appends: [Log] }).consumeBatch(
        Log,
        (items) => {
          for (const item of items) {
            if (item.value.id === "2" && failures++ < 2) return item.mark(again);
            done.push(item.value.id);
          }
        },
        { batch: { size: 4, maxAgeMs: 20 }, retry: { ...quick, attempts: 5 } },
      );
      const { bus } = await failing.process(reader);
      for (const id of ["1", "2", "3", "4", "5"]) await bus.append(Log, { id });
      await failing.stage.until(
        "all are complete",
        async () => (await bus.health()).contracts[Log.name]?.handled === 5,
      );
      assert.deepEqual(done, ["1", "2", "3", "4", "5"]);
    },
  },
  {
    id: "batch-lock-lost",
    what: "a process stalls longer than its locks while it handles a batch, and then goes on",
    then: "the messages are handled elsewhere, each alone; the late handler's signal is aborted, every settlement is refused, and nothing that the batch or its messages sent leaves",
    run: async (failing) => {
      const DoJob = failing.command("job");
      const Done = failing.event("done");
      const { runs, published } = await stallsAndGoesOn(failing, {
        Done,
        publishes: 4,
        worker: (name, begin) =>
          service("worker", { publishes: [Done] }).handleBatch(
            DoJob,
            async (items, context) => {
              await begin(name, `${name} ${items.length}`, context.signal);
              await context.publish(Done, { id: name });
              for (const item of items) await item.context.publish(Done, { id: name });
            },
            // The late batch waits for both, however slowly they come: of one that began alone only one settlement could be refused.
            { batch: { size: 2, maxAgeMs: name === "late" ? 60_000 : 20 }, lockMs },
          ),
        send: async ({ bus }) => {
          for (const id of ["1", "2"]) await bus.send(DoJob, { id });
        },
        isRefused: async ({ bus }) =>
          ((await bus.health()).contracts[DoJob.name]?.lockLost ?? 0) >= 2,
      });
      assert.deepEqual(runs, ["late 2", "prompt 1", "prompt 1"]);
      assert.deepEqual(published, ["prompt", "prompt", "prompt", "prompt"]);
    },
  },
];

const again = { outcome: "retry", afterMs: 5, reason: "not yet" } as const;
