import assert from "node:assert/strict";
import { type Service, service } from "@waybill/core";
import { type FailureCase, lockMs, quick } from "./case.ts";
import type { FailureStage } from "./stage.ts";

const attempts = 4;
const options = { lockMs, retry: { ...quick, attempts } };

/** Fails, and the run after that ends its process, and so on. Answers the attempts that were made of it, by process. */
async function endsProcesses(
  failing: FailureStage,
  create: (handler: (job: { id: string }, context: { attempt: number }) => Promise<void>) => {
    readonly worker: Service;
    readonly send: (bus: Awaited<ReturnType<FailureStage["process"]>>["bus"]) => Promise<unknown>;
  },
): Promise<void> {
  const runs: number[] = [];
  const others: string[] = [];
  const { worker, send } = create(async ({ id }, { attempt }) => {
    if (id !== "a1") return void others.push(id);
    runs.push(attempt);
    if (runs.length % 2 === 1) throw new Error("broken");
    await new Promise(() => undefined); // and then it is dead
  });
  for (const [index, expected] of [
    [1, 2],
    [1, 2, 3, 4],
  ].entries()) {
    const dying = await failing.process(worker);
    if (index === 0) await send(dying.bus);
    await failing.stage.until("its second run here", () => runs.length === expected.length);
    assert.deepEqual(runs, expected);
    dying.breath.stall();
  }
  const last = await failing.process(worker);
  const [dead] = await failing.dead(last);
  assert.equal(dead?.failure?.reason, "HANDLER_CRASHED");
  await failing.stage.until("what stands behind it", () => others.length === 1);
  assert.equal(runs.length, attempts);
}

/** A poison message that is retried in its place, because others must not overtake it. */
export const poisonInPlaceFailures: readonly FailureCase[] = [
  {
    id: "key-poison",
    what: "a message of a key fails, and the process dies while it is retried in its place, and so does the next one",
    then: "the runs of all processes count together: after `attempts` of them it ends among the dead letters, and its key goes on",
    notFor: ({ sessions, attemptsInPlace }) =>
      sessions && attemptsInPlace ? undefined : "does not count the runs of a key durably",
    run: (failing) => {
      const DoJob = failing.keyedCommand("job");
      return endsProcesses(failing, (handler) => ({
        worker: service("worker").handle(DoJob, handler, options),
        send: async (bus) => {
          for (const id of ["a1", "a2"]) await bus.send(DoJob, { id });
        },
      }));
    },
  },
  {
    id: "stream-poison",
    what: "an item of a stream fails, and the process dies while it is retried in its place, and so does the next one",
    then: "the runs of all processes count together: after `attempts` of them it ends among the dead letters, and the stream goes on",
    notFor: ({ streams, attemptsInPlace }) =>
      streams && attemptsInPlace ? undefined : "does not count the runs of an item durably",
    run: (failing) => {
      const Jobs = failing.stream("jobs");
      return endsProcesses(failing, (handler) => ({
        worker: service("worker", { appends: [Jobs] }).consume(Jobs, handler, options),
        send: async (bus) => {
          for (const id of ["a1", "a2"]) await bus.append(Jobs, { id });
        },
      }));
    },
  },
];
