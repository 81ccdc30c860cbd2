import assert from "node:assert/strict";
import { query } from "@waybill/contracts";
import { WaybillError, service } from "@waybill/core";
import { type FailureCase, lockMs, quick } from "./case.ts";
import { stallsAndGoesOn } from "./late.ts";

/** For what no deadline is to end. */
const patienceMs = 60_000;

export const processFailures: readonly FailureCase[] = [
  {
    id: "process-dies",
    what: "the process dies while a handler runs",
    then: "its lock runs out and another instance gets the message, with the attempt counted",
    run: async (failing) => {
      const DoJob = failing.command("job");
      const attempts: number[] = [];
      const worker = service("worker").handle(
        DoJob,
        async (_job, context) => {
          attempts.push(context.attempt);
          if (attempts.length === 1) await new Promise(() => undefined); // and then it is dead
        },
        { lockMs },
      );
      const dying = await failing.process(worker);
      await dying.bus.send(DoJob, { id: "1" });
      await failing.stage.until("it has begun", () => attempts.length === 1);
      dying.breath.stall();
      await failing.process(worker);
      await failing.stage.until("another instance has it", () => attempts.length === 2);
      assert.deepEqual(attempts, [1, 2]);
    },
  },
  {
    id: "poison",
    what: "a message kills each process that handles it",
    then: "attempts were counted before the handler ran, so it ends among the dead letters with reason HANDLER_CRASHED",
    run: async (failing) => {
      const DoJob = failing.command("job");
      let runs = 0;
      const worker = service("worker").handle(
        DoJob,
        async () => {
          runs += 1;
          await new Promise(() => undefined);
        },
        { lockMs, retry: { ...quick, attempts: 1 } },
      );
      const dying = await failing.process(worker);
      await dying.bus.send(DoJob, { id: "1" });
      await failing.stage.until("it has begun", () => runs === 1);
      dying.breath.stall();
      const next = await failing.process(worker);
      const [dead] = await failing.dead(next);
      assert.equal(dead?.failure?.reason, "HANDLER_CRASHED");
      assert.equal(runs, 1);
    },
  },
  {
    id: "lock-lost",
    what: "a process stalls longer than its lock and then goes on",
    then: "the message is handled elsewhere; the late handler's signal is aborted, its settlement refused, and nothing it sent leaves",
    run: async (failing) => {
      const DoJob = failing.command("job");
      const Done = failing.event("done");
      const { runs, published } = await stallsAndGoesOn(failing, {
        Done,
        publishes: 1,
        worker: (name, begin) =>
          service("worker", { publishes: [Done] }).handle(
            DoJob,
            async (_job, context) => {
              await begin(name, name, context.signal);
              await context.publish(Done, { id: name });
            },
            { lockMs },
          ),
        send: async ({ bus }) => void (await bus.send(DoJob, { id: "1" })),
        isRefused: async ({ bus }) =>
          ((await bus.health()).contracts[DoJob.name]?.lockLost ?? 0) > 0,
      });
      assert.deepEqual(published, ["prompt"]);
      assert.deepEqual(runs, ["late", "prompt"]);
    },
  },
  {
    id: "shutdown",
    what: "a process is asked to stop while it works",
    then: "what has begun ends, what has not goes back, its attempt uncounted except where `releaseCounts`; nothing is lost and nothing runs twice",
    run: async (failing) => {
      const DoJob = failing.command("job");
      const runs: { readonly id: string; readonly attempt: number }[] = [];
      const goOn = Promise.withResolvers<void>();
      let held = 0;
      const worker = (waits: boolean) =>
        service("worker").handle(
          DoJob,
          async ({ id }, { attempt }) => {
            runs.push({ id, attempt });
            if (!waits) return;
            held += 1;
            await goOn.promise;
          },
          { concurrency: 2, prefetch: 6 },
        );
      const stopping = await failing.process(worker(true));
      for (let id = 0; id < 8; id++) await stopping.bus.send(DoJob, { id: String(id) });
      await failing.stage.until("two have begun", () => held === 2);
      const closed = stopping.bus.close({ deadlineMs: patienceMs });
      await failing.process(worker(false));
      const { releaseCounts, keyOrder } = (await failing.stage.open()).capabilities;
      // There a partition waits for what has begun of it.
      if (keyOrder === "partitions") goOn.resolve();
      await failing.stage.until("the others are handled elsewhere", () => runs.length === 8);
      goOn.resolve();
      await closed;
      assert.deepEqual(runs.map(({ id }) => id).toSorted(), [
        "0",
        "1",
        "2",
        "3",
        "4",
        "5",
        "6",
        "7",
      ]);
      assert.ok(runs.every(({ attempt }) => attempt === 1 || releaseCounts));
    },
  },
  {
    id: "shutdown-late",
    what: "a handler still runs when the deadline of the shutdown has passed",
    then: "its signal is aborted, `close()` ends with SHUTDOWN_INCOMPLETE, and the message comes again elsewhere",
    run: async (failing) => {
      const DoJob = failing.command("job");
      let aborted = false;
      const runs: string[] = [];
      const stubborn = service("worker").handle(DoJob, async (_job, { signal }) => {
        signal.addEventListener("abort", () => (aborted = true));
        runs.push("stubborn");
        await new Promise(() => undefined);
      });
      const stopping = await failing.process(stubborn);
      await stopping.bus.send(DoJob, { id: "1" });
      await failing.stage.until("it has begun", () => runs.length === 1);
      const closed = stopping.bus.close({ deadlineMs: 50 }).then(
        () => undefined,
        (error: unknown) => error,
      );
      await failing.stage.pass(60);
      const error = await closed;
      assert.ok(error instanceof WaybillError && error.code === "SHUTDOWN_INCOMPLETE");
      assert.ok(aborted);
      await failing.process(service("worker").handle(DoJob, () => void runs.push("next")));
      await failing.stage.until("it comes again", () => runs.includes("next"));
    },
  },
  {
    id: "owner-away",
    what: "a query is asked while its owner is not running",
    then: "the caller gets DEADLINE_EXCEEDED when its time is over; the request is gone then and never runs",
    run: async (failing) => {
      const anything = failing.command("any").input;
      const Get = query(failing.stage.name("get"), { input: anything, output: anything });
      const caller = await failing.process(service("caller", { asks: [Get] }));
      const asked = assert.rejects(
        caller.bus.ask(Get, { id: "1" }, { timeoutMs: 40 }),
        (error: unknown) => error instanceof WaybillError && error.code === "DEADLINE_EXCEEDED",
      );
      await failing.stage.pass(60);
      await asked;
      const answered: string[] = [];
      await failing.process(
        service("owner").answer(Get, ({ id }) => {
          answered.push(id);
          return { id };
        }),
      );
      await caller.bus.ask(Get, { id: "2" }, { timeoutMs: patienceMs });
      assert.deepEqual(answered, ["2"]);
    },
  },
];
