import assert from "node:assert/strict";
import { type Feed, type Schema, feed, query } from "@waybill/contracts";
import { type FeedContext, type Service, WaybillError, service } from "@waybill/core";
import { type FailureCase, lockMs } from "./case.ts";
import type { FailureStage } from "./stage.ts";

/** Both sides of a feed notice within this that the other is gone. */
const silenceMs = 6_000;

export const callFailures: readonly FailureCase[] = [
  {
    id: "answerer-dies",
    what: "the process that answers a query dies while its handler runs",
    then: "its lock runs out and another instance answers, if the caller still waits then; the handler may run twice",
    run: async (failing) => {
      const anything = failing.command("any").input;
      const Get = query(failing.stage.name("get"), { input: anything, output: anything });
      const caller = await failing.process(service("caller", { asks: [Get] }));
      let runs = 0;
      const answering = service("owner").answer(
        Get,
        async ({ id }) => {
          runs += 1;
          if (runs === 1) await new Promise(() => undefined); // and then it is dead
          return { id };
        },
        { lockMs },
      );
      const dying = await failing.process(answering);
      const asked = caller.bus.ask(Get, { id: "1" }, { timeoutMs: 60_000 });
      asked.catch(() => undefined);
      await failing.stage.until("it has begun", () => runs === 1);
      dying.breath.stall();
      await failing.process(answering);
      await failing.stage.until("another instance has it", () => runs === 2);
      assert.deepEqual(await asked, { id: "1" });
    },
  },
  {
    id: "feed-server-dies",
    what: "the process that serves a feed with `resume` dies",
    then: "within 6 seconds the caller opens it again after the last item it has, on any live instance; no item is lost that the handler can give again, none comes twice",
    run: async (failing) => {
      const { Tail, read, items, begun, serving } = await tail(failing);
      const dying = await failing.process(serving());
      const reading = read();
      await failing.stage.until("three items", () => items.length === 3);
      dying.breath.stall();
      await failing.process(serving());
      await failing.stage.pass(silenceMs + 100);
      await failing.stage.until("the rest", () => items.length === 6);
      await reading;
      assert.deepEqual(items, ["1", "2", "3", "4", "5", "6"]);
      assert.deepEqual(begun, [undefined, "3"], Tail.name);
    },
  },
  {
    id: "feed-server-closes",
    what: "the process that serves a feed with `resume` is asked to stop",
    then: "it tells the caller, which opens the feed again at once on another instance",
    run: async (failing) => {
      const { read, items, begun, serving } = await tail(failing);
      const closing = await failing.process(serving());
      const reading = read();
      await failing.stage.until("three items", () => items.length === 3);
      await failing.process(serving());
      await closing.bus.close({ deadlineMs: 30_000 });
      await failing.stage.until("the rest", () => items.length === 6);
      await reading;
      assert.deepEqual(items, ["1", "2", "3", "4", "5", "6"]);
      assert.deepEqual(begun, [undefined, "3"]);
    },
  },
  {
    id: "feed-ends",
    what: "the process that serves a feed without `resume` dies",
    then: "within 6 seconds the caller's loop ends with FEED_FAILED, which says to open it again",
    run: async (failing) => {
      const { input, name } = failing.command("tail");
      const Tail = feed(name, { input, item: input });
      const serving = service("tailing").serve(Tail, async function* (job, context) {
        yield job;
        await context.sleep(600_000);
      });
      const caller = await failing.process(service("caller", { opens: [Tail] }));
      const dying = await failing.process(serving);
      const items = caller.bus.open(Tail, { id: "1" })[Symbol.asyncIterator]();
      await items.next();
      const next = assert.rejects(
        items.next(),
        (error: unknown) => error instanceof WaybillError && error.code === "FEED_FAILED",
      );
      dying.breath.stall();
      await failing.stage.pass(silenceMs + 100);
      await next;
    },
  },
];

interface Tailing {
  readonly Tail: Feed;
  readonly items: string[];
  /** Where each server began. */
  readonly begun: (string | undefined)[];
  /** Serves "1" to "6"; the first one waits after "3" until it is told to stop. */
  readonly serving: () => Service;
  readonly read: () => Promise<void>;
}

const Text: Schema<string> = {
  "~standard": {
    version: 1,
    vendor: "failure-suite",
    validate: (value) =>
      typeof value === "string" ? { value } : { issues: [{ message: "must be text" }] },
  },
};

async function tail(failing: FailureStage): Promise<Tailing> {
  const { input, name } = failing.command("tail");
  const Tail = feed(name, { input, item: input, resume: { cursor: Text, of: ({ id }) => id } });
  const items: string[] = [];
  const begun: (string | undefined)[] = [];
  const caller = await failing.process(service("caller", { opens: [Tail] }));
  type TailContext = FeedContext<unknown, never, string>;
  return {
    Tail,
    items,
    begun,
    serving: () =>
      service("tailing").serve(Tail, async function* (_job, context: TailContext) {
        const first = begun.push(context.resumeFrom) === 1;
        for (let next = Number(context.resumeFrom ?? "0") + 1; next <= 6; next++) {
          yield { id: String(next) };
          if (first && next === 3) await context.sleep(600_000);
        }
      }),
    read: async () => {
      for await (const { id } of caller.bus.open(Tail, { id: "" })) items.push(id);
    },
  };
}
