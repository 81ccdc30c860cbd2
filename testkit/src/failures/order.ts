import assert from "node:assert/strict";
import type { Command } from "@waybill/contracts";
import { service } from "@waybill/core";
import { needsKeyOrder, needsSessions } from "../suite/case.ts";
import { type FailureCase, lockMs, quick } from "./case.ts";
import type { FailureStage, Job } from "./stage.ts";

/** What becomes of the order of a contract's key. */
export const orderFailures: readonly FailureCase[] = [
  {
    id: "key-fails",
    what: "a handler fails for one key of a contract, with two instances of the service at work",
    then: "that key waits while its head is retried, on both instances; the order of every key holds, other keys go on",
    notFor: needsKeyOrder,
    run: async (failing) => {
      const seen = await firstOfKeyFails(failing, failing.keyedCommand("job"), { processes: 2 });
      assert.deepEqual(
        seen.filter((id) => id.startsWith("b")),
        ["b1", "b2"],
      );
    },
  },
  {
    id: "key-holder-dies",
    what: "the process that has a key dies while it handles a message of it",
    then: "nobody else gets a message of that key until its lock has run out; then another instance goes on at that message, in order. Other keys go on meanwhile where each has a holder of its own",
    notFor: needsKeyOrder,
    run: async (failing) => {
      const DoJob = failing.keyedCommand("job");
      const seen: string[] = [];
      let begun = false;
      const worker = (dies: boolean) =>
        service("worker").handle(
          DoJob,
          async ({ id }) => {
            begun = true;
            if (dies) await new Promise(() => undefined); // and then it is dead
            seen.push(id);
          },
          { lockMs },
        );
      const dying = await failing.process(worker(true));
      await dying.bus.send(DoJob, { id: "a1" });
      await failing.stage.until("it has begun", () => begun);
      dying.breath.stall();
      const next = await failing.process(worker(false));
      for (const id of ["a2", "b1", "a3"]) await next.bus.send(DoJob, { id });
      await failing.stage.until("all handled", () => seen.length === 4);
      assert.deepEqual(
        seen.filter((id) => id !== "b1"),
        ["a1", "a2", "a3"],
      );
      // Where each key has a holder of its own, the others need not wait.
      const { keyOrder } = (await failing.stage.open()).capabilities;
      if (keyOrder === "sessions") assert.equal(seen[0], "b1");
    },
  },
  {
    id: "key-parked",
    what: 'a message of a key fails for good, and its handler says `onDeadLetter: "park"`',
    then: "the key's later messages wait, on every instance, until it is replayed or discarded; then they come in order, behind it",
    notFor: needsSessions,
    run: async (failing) => {
      const DoJob = failing.keyedCommand("job");
      const seen: string[] = [];
      let broken = true;
      const worker = service("worker").handle(
        DoJob,
        ({ id }) => {
          if (id === "a1" && broken) throw new Error("broken");
          seen.push(id);
        },
        { onDeadLetter: "park", retry: { ...quick, attempts: 1 } },
      );
      const { bus } = await failing.process(worker);
      for (const id of ["a1", "a2", "b1"]) await bus.send(DoJob, { id });
      const other = await failing.process(worker);
      const [dead] = await failing.dead(other);
      await bus.send(DoJob, { id: "a3" });
      await bus.send(DoJob, { id: "b2" });
      await failing.stage.until("the other key goes on", () => seen.includes("b2"));
      assert.deepEqual(seen, ["b1", "b2"]);
      broken = false;
      assert.equal(await bus.deadLetters.replay([dead?.handle ?? ""]), 1);
      await failing.stage.until("the key goes on", () => seen.length === 5);
      assert.deepEqual(seen, ["b1", "b2", "a1", "a2", "a3"]);
    },
  },
];

interface KeyFails {
  readonly processes: number;
  readonly orderedBy?: (job: Job) => string;
}

/**
 * The first message of one key fails until another key has gone on, however long that takes; answers what was handled, in order. Ids begin with
 * their key.
 */
export async function firstOfKeyFails(
  failing: FailureStage,
  DoJob: Command<string, Job>,
  { processes, ...ordered }: KeyFails,
): Promise<readonly string[]> {
  const seen: string[] = [];
  const worker = service("worker").handle(
    DoJob,
    ({ id }) => {
      if (id === "a1" && !seen.includes("b2")) throw new Error("not yet");
      seen.push(id);
    },
    { ...ordered, retry: { ...quick, delayMs: 30, attempts: 1_000 } },
  );
  const { bus } = await failing.process(worker);
  for (let others = 1; others < processes; others++) await failing.process(worker);
  for (const id of ["a1", "a2", "b1", "a3", "b2"]) await bus.send(DoJob, { id });
  await failing.stage.until("all are handled, the other key first", () => seen.length === 5);
  assert.deepEqual(
    seen.filter((id) => id.startsWith("a")),
    ["a1", "a2", "a3"],
  );
  return seen;
}
