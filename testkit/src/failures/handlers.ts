import assert from "node:assert/strict";
import { query } from "@waybill/contracts";
import { WaybillError, service } from "@waybill/core";
import { needsOrder, needsStreams } from "../suite/case.ts";
import { type FailureCase, quick } from "./case.ts";
import { firstOfKeyFails } from "./order.ts";
import type { Job } from "./stage.ts";

export const handlerFailures: readonly FailureCase[] = [
  {
    id: "throws-once",
    what: "a handler throws, and would succeed a moment later",
    then: "it runs again at once, in the same delivery; nobody notices",
    run: async (failing) => {
      const DoJob = failing.command("job");
      const attempts: number[] = [];
      const worker = service("worker").handle(
        DoJob,
        (_job, { attempt }) => {
          attempts.push(attempt);
          if (attempts.length === 1) throw new Error("a glitch");
        },
        { retry: { immediate: 1 } },
      );
      const { bus } = await failing.process(worker);
      await bus.send(DoJob, { id: "1" });
      await failing.stage.until("two runs", () => attempts.length === 2);
      assert.deepEqual(attempts, [1, 1]);
      await failing.stage.until(
        "handled",
        async () => (await bus.health()).contracts[DoJob.name]?.handled === 1,
      );
    },
  },
  {
    id: "throws-always",
    what: "a handler throws each time",
    then: "it comes again after growing pauses, then stands among the dead letters with error, stack, attempts, handler, service and both times; nothing it sent has left; a replay brings it back with attempt 1",
    run: async (failing) => {
      const DoJob = failing.command("job");
      const Done = failing.event("done");
      const attempts: number[] = [];
      let mended = false;
      const worker = service("worker", { publishes: [Done] }).handle(
        DoJob,
        async (job, context) => {
          attempts.push(context.attempt);
          await context.publish(Done, job);
          if (!mended) throw new Error("out of paper");
        },
        { retry: { ...quick, attempts: 3 } },
      );
      const published: string[] = [];
      const reader = service("reader").on(Done, ({ id }) => void published.push(id));
      const process = await failing.process(worker, reader);
      await process.bus.send(DoJob, { id: "1" });
      const [dead] = await failing.dead(process);
      assert.deepEqual(attempts, [1, 2, 3]);
      assert.deepEqual(published, []);
      const failure = dead?.failure;
      assert.ok(failure !== undefined);
      assert.equal(failure.message, "out of paper");
      assert.match(failure.stack ?? "", /out of paper/);
      assert.equal(failure.attempts, 3);
      assert.equal(failure.service, "worker");
      assert.equal(failure.handler, `worker.handle(${DoJob.name})`);
      assert.ok(failure.firstFailedAt <= failure.lastFailedAt && failure.firstFailedAt > 0);
      mended = true;
      assert.equal(await process.bus.deadLetters.replay([dead?.handle ?? ""]), 1);
      await failing.stage.until("the replay is handled", () => published.length === 1);
      assert.equal(attempts.at(-1), 1);
    },
  },
  {
    id: "throws-permanent",
    what: "a handler throws what no repetition mends (a bug, or an error that says so)",
    then: "a dead letter at once, without retries",
    run: async (failing) => {
      const DoJob = failing.command("job");
      let runs = 0;
      const worker = service("worker").handle(
        DoJob,
        ({ id }) => {
          runs += 1;
          if (id === "bug") throw new TypeError("undefined is not a function");
          throw Object.assign(new Error("no such customer"), { retryable: false });
        },
        { retry: { immediate: 3, attempts: 5 } },
      );
      const process = await failing.process(worker);
      await process.bus.send(DoJob, { id: "bug" });
      await process.bus.send(DoJob, { id: "permanent" });
      await failing.dead(process, 2);
      assert.equal(runs, 2);
    },
  },
  {
    id: "send-refused",
    what: "what a handler sends is refused (it does not fit its contract)",
    then: "the handler has failed, and none of its other messages leaves",
    run: async (failing) => {
      const DoJob = failing.command("job");
      const Done = failing.event("done");
      const seen: string[] = [];
      const worker = service("worker", { publishes: [Done] })
        .handle(DoJob, async (job, context) => {
          await context.publish(Done, job);
          await context.publish(Done, { id: 7 } as unknown as { id: string });
        })
        .on(Done, ({ id }) => void seen.push(id));
      const process = await failing.process(worker);
      await process.bus.send(DoJob, { id: "1" });
      const [dead] = await failing.dead(process);
      assert.equal(dead?.failure?.reason, "MESSAGE_INVALID");
      assert.deepEqual(seen, []);
    },
  },
  {
    id: "ordered-key-fails",
    what: "a handler with `orderedBy` fails for one key",
    then: "the messages of that key wait behind it while it is retried; other keys go on",
    notFor: needsOrder,
    run: async (failing) => {
      const orderedBy = ({ id }: Job): string => id.slice(0, 1);
      await firstOfKeyFails(failing, failing.command("job"), { processes: 1, orderedBy });
    },
  },
  {
    id: "stream-fails",
    what: "a handler of a stream fails for one item",
    then: "it is retried in place, so order holds; then a copy is set aside and the group goes on",
    notFor: needsStreams,
    run: async (failing) => {
      const Items = failing.stream("items");
      const seen: string[] = [];
      const reader = service("reader", { appends: [Items] }).consume(
        Items,
        ({ id }) => {
          if (id === "2") throw new Error("cannot read this one");
          seen.push(id);
        },
        { retry: { ...quick, attempts: 2 } },
      );
      const process = await failing.process(reader);
      for (const id of ["1", "2", "3"]) await process.bus.append(Items, { id });
      await failing.stage.until("the group goes on", () => seen.includes("3"));
      const [dead] = await failing.dead(process);
      assert.equal(dead?.failure?.attempts, 2);
      assert.deepEqual(seen, ["1", "3"]);
    },
  },
  {
    id: "handler-hangs",
    what: "a handler with `timeoutMs` does not end",
    then: "its signal is aborted, a second later it is given up and its message retried; what it sends late is refused, and `health()` shows it until it ends",
    run: async (failing) => {
      const DoJob = failing.command("job");
      const Done = failing.event("done");
      const hang = Promise.withResolvers<void>();
      const ends: string[] = [];
      const worker = service("worker", { publishes: [Done] }).handle(
        DoJob,
        async (job, context) => {
          if (context.attempt === 1) await hang.promise;
          await context.publish(Done, job).then(
            () => ends.push(`attempt ${context.attempt}`),
            ({ code }: { code: string }) => ends.push(code),
          );
        },
        { timeoutMs: 20, retry: quick },
      );
      const seen: string[] = [];
      const reader = service("reader").on(Done, ({ id }) => void seen.push(id));
      const { bus } = await failing.process(worker, reader);
      await bus.send(DoJob, { id: "1" });
      await failing.stage.until("the next attempt", () => seen.length === 1);
      assert.equal(Object.values((await bus.health()).overdue)[0], 1);
      hang.resolve();
      await failing.stage.until("it ends", () => ends.length === 2);
      assert.deepEqual(ends, ["attempt 2", "CLOSED"]);
      assert.deepEqual((await bus.health()).overdue, {});
      assert.deepEqual(seen, ["1"]);
    },
  },
  {
    id: "answer-throws",
    what: "the handler of a query throws",
    then: "the caller gets ANSWER_FAILED with the message and without the stack; nothing is retried behind its back",
    run: async (failing) => {
      const { name } = failing.command("get");
      const anything = failing.command("any").input;
      const Get = query(name, { input: anything, output: anything });
      let runs = 0;
      const owner = service("owner").answer(Get, () => {
        runs += 1;
        throw new Error("no such thing");
      });
      await failing.process(owner);
      const caller = await failing.process(service("caller", { asks: [Get] }));
      await assert.rejects(caller.bus.ask(Get, { id: "1" }), (error: unknown) => {
        assert.ok(error instanceof WaybillError);
        assert.equal(error.code, "ANSWER_FAILED");
        assert.match(error.message, /no such thing/);
        assert.doesNotMatch(JSON.stringify(error.details), /\.ts:/);
        return true;
      });
      assert.equal(runs, 1);
    },
  },
];
