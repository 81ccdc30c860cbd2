import assert from "node:assert/strict";
import type { Transport } from "@waybill/core";
import { type SuiteCase, needsDelay, needsSessions, needsAll, needsLists } from "./case.ts";
import { envelope, failure, toQueue, toTopic } from "./messages.ts";
import { bodyText, complete, release } from "./probe.ts";

const needsSchedule = needsDelay(1_000);
/** How far ahead a moment lies that the case must reach in time, also on a machine with more to do. */
const aheadMs = 1_000;

/** Milliseconds between two moments that the broker tells apart. */
function apart({ capabilities }: Transport): number {
  return Math.max(50, 2 * capabilities.delayStepMs);
}

export const scheduleCases: readonly SuiteCase[] = [
  {
    id: "schedule.not-early",
    title: "a scheduled message is delivered at its moment, not before",
    notFor: needsSchedule,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const probe = stage.receive(transport, source);
      const due = stage.now() + 120;
      await transport.send([toQueue(queue, "later", { notBefore: due })]);
      const delivery = await probe.next();
      assert.ok(stage.now() >= due, `came ${due - stage.now()} ms early`);
      assert.equal(delivery.attempt, 1);
    },
  },
  {
    id: "schedule.order",
    title:
      "scheduled messages come in the order in which they fall due; a moment in the past is now",
    notFor: needsSchedule,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const apartMs = apart(transport);
      const now = stage.now();
      const at = (body: string, ms: number) => toQueue(queue, body, { notBefore: now + ms });
      await transport.send([
        at("third", aheadMs + 2 * apartMs),
        at("first", aheadMs),
        at("past", -60_000),
        at("second", aheadMs + apartMs),
      ]);
      const probe = stage.receive(transport, source);
      assert.deepEqual((await probe.take(4)).map(bodyText), ["past", "first", "second", "third"]);
    },
  },
  {
    id: "schedule.late",
    title:
      "what fell due while nobody looked comes in the order in which it fell due, behind what was sent before that",
    notFor: needsSchedule,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const apartMs = apart(transport);
      const dueAt = stage.now() + aheadMs;
      const at = (body: string, ms: number) => toQueue(queue, body, { notBefore: dueAt + ms });
      await transport.send([at("third", 2 * apartMs), at("first", 0), at("second", apartMs)]);
      await transport.send([toQueue(queue, "at once")]);
      await transport[Symbol.asyncDispose]();
      await stage.pass(dueAt + 3 * apartMs - stage.now());
      const probe = stage.receive(await stage.open(), source);
      const taken = await probe.take(4);
      const order = ["at once", "first", "second", "third"];
      assert.deepEqual(taken.map(bodyText), order);
      // Where a release counts, the broker gives back in the order of releasing.
      const back = transport.capabilities.releaseCounts ? taken : taken.toReversed();
      await Promise.all(back.map((delivery) => delivery.settle(release)));
      assert.deepEqual((await probe.take(4)).map(bodyText), order);
    },
  },
  {
    id: "schedule.session",
    title: "so does what fell due in a session",
    notFor: (capabilities) => needsSchedule(capabilities) ?? needsSessions(capabilities),
    run: async (stage) => {
      const queue = stage.name("queue");
      const transport = await stage.declared({ queues: [{ name: queue, sessions: true }] });
      const dueAt = stage.now() + aheadMs;
      const header = { partitionkey: "key" };
      const at = (body: string, ms: number) =>
        toQueue(queue, body, { notBefore: dueAt + ms, header });
      await transport.send([at("third", 100), at("first", 0), at("second", 50)]);
      await transport.send([toQueue(queue, "at once", { header })]);
      await transport[Symbol.asyncDispose]();
      await stage.pass(dueAt + 150 - stage.now());
      const source = { kind: "queue", name: queue } as const;
      const probe = stage.receive(await stage.open(), source, { sessions: 1 });
      assert.equal(await (await probe.next()).settle(complete), "settled");
      const [first] = await probe.take(3);
      assert.deepEqual(probe.bodies, ["at once", "first", "second", "third"]);
      assert.equal(await first?.settle(release), "settled");
      assert.deepEqual((await probe.take(3)).map(bodyText), ["first", "second", "third"]);
    },
  },
  {
    id: "schedule.cancel",
    title:
      "what was sent for later is taken back by its id, in every subscription or at one address; what fell due or waits for its retry is not",
    notFor: needsAll(needsDelay(60_000), needsLists("scheduled")),
    run: async (stage) => {
      const queue = stage.name("queue");
      const topic = stage.name("topic");
      const accepts = [{ type: "suite.happened" }];
      const transport = await stage.declared({
        queues: [{ name: queue }],
        topics: [{ name: topic }],
        subscriptions: ["one", "two"].map((name) => ({ topic, name, accepts })),
      });
      const { inspection } = transport;
      const later = { notBefore: stage.now() + 60_000 };
      await transport.send([
        toQueue(queue, "later", later),
        toQueue(queue, "kept", later),
        toTopic(topic, "event", later),
        toQueue(queue, "retried"),
        toQueue(queue, "ready"),
      ]);
      const source = { kind: "queue", name: queue } as const;
      const probe = stage.receive(transport, source, { prefetch: 1 });
      const retried = await probe.next();
      await probe.receiver.stop();
      await retried.settle({ kind: "retry", delayMs: 60_000, failure: failure(1) });
      const idOf = (body: string): string => envelope(body).header.id;
      const bodies = ["later", "event", "retried", "ready", "no such message"].map(idOf);
      assert.equal(await inspection.cancel(bodies, stage.name("nowhere")), 0);
      assert.equal(await inspection.cancel(bodies, `${topic}/two`), 1);
      assert.equal(await inspection.cancel([...bodies, idOf("later")]), 2);
      assert.equal(await inspection.cancel(bodies), 0);
      const left = await inspection.list({ state: "scheduled", limit: 10 });
      assert.deepEqual(left.map(bodyText).toSorted(), ["kept", "retried"]);
      assert.equal((await inspection.list({ state: "ready", address: queue, limit: 5 })).length, 1);
    },
  },
  {
    id: "schedule.outlive",
    title: "a scheduled message outlives the instance that sent it",
    notFor: needsSchedule,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([toQueue(queue, "later", { notBefore: stage.now() + 150 })]);
      await transport[Symbol.asyncDispose]();
      const probe = stage.receive(await stage.open(), source);
      assert.equal(bodyText(await probe.next()), "later");
    },
  },
  {
    id: "schedule.topic",
    title: "a scheduled event reaches its subscriptions at its moment",
    notFor: needsSchedule,
    run: async (stage) => {
      const topic = stage.name("topic");
      const accepts = [{ type: "suite.happened" }];
      const transport = await stage.declared({
        topics: [{ name: topic }],
        subscriptions: [{ topic, name: "one", accepts }],
      });
      const probe = stage.receive(transport, { kind: "subscription", topic, name: "one" });
      const due = stage.now() + 150;
      await transport.send([toTopic(topic, "later", { notBefore: due })]);
      await probe.next();
      assert.ok(stage.now() >= due);
    },
  },
];
