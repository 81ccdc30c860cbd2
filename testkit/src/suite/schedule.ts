import assert from "node:assert/strict";
import type { Delivery, Outgoing, Transport } from "@waybill/core";
import {
  type SuiteCase,
  needsDeadLetters,
  needsDelay,
  needsSessions,
  needsAll,
  needsLists,
} from "./case.ts";
import { envelope, failure, toQueue, toTopic, topology } from "./messages.ts";
import { bodyText, complete, release } from "./probe.ts";

const needsSchedule = needsDelay(1_000);
/** How far ahead a moment lies that the case must reach in time, also on a machine with more to do. */
const aheadMs = 1_000;

/** Milliseconds between two moments that the broker tells apart. */
function apart({ capabilities }: Transport): number {
  return Math.max(50, 2 * capabilities.delayStepMs);
}

/** Whether whoever handles it heeds no expiry: it is marked, or its header names none any more. */
const isLifted = ({ envelope: { header }, expiryLifted }: Delivery): boolean =>
  expiryLifted === true || header.expirytime === undefined;

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
  {
    id: "expiry.dead",
    title: "a message that nobody took in time becomes a dead letter with the reason EXPIRED",
    notFor: needsDeadLetters,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([
        toQueue(queue, "stale", { notAfter: stage.now() + 80 }),
        toQueue(queue, "fresh"),
      ]);
      await stage.pass(120);
      const probe = stage.receive(transport, source);
      assert.equal(bodyText(await probe.next()), "fresh");
      const [dead] = await stage.listed(transport.inspection, { state: "dead", address: queue }, 1);
      assert.equal(dead?.failure?.reason, "EXPIRED");
      assert.equal(dead?.attempt, 0);
      assert.equal(dead === undefined ? "" : bodyText(dead), "stale");
      await probe.nothingMore();
    },
  },
  {
    id: "expiry.replay",
    title: "a replayed message that had expired is delivered and does not expire again",
    notFor: needsDeadLetters,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([toQueue(queue, "stale", { notAfter: stage.now() + 40 })]);
      await stage.pass(80);
      // Some brokers set it aside only when a receiver comes to it.
      const probe = stage.receive(transport, source);
      const [dead] = await stage.listed(transport.inspection, { state: "dead", address: queue }, 1);
      assert.equal(await transport.inspection.replay([dead?.handle ?? ""]), 1);
      const delivery = await probe.next();
      assert.equal(bodyText(delivery), "stale");
      assert.equal(delivery.attempt, 1);
    },
  },
  {
    id: "expiry.lifted",
    title:
      "what is replayed, published again or resumed says that the expiry in its header counts no more, on each attempt",
    notFor: needsDeadLetters,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const { inspection } = transport;
      const topic = stage.name("topic");
      await transport.declare(topology({ topics: [{ name: topic }] }));
      const brief = (body: string): Outgoing => {
        const notAfter = stage.now() + aheadMs;
        const header = { expirytime: new Date(notAfter).toISOString() };
        return toQueue(queue, body, { notAfter, header });
      };
      const first = stage.receive(transport, source);
      await transport.send(["dead", "deferred"].map(brief));
      const [dead, deferred] = (await first.take(2)) as [Delivery, Delivery];
      for (const delivery of [dead, deferred]) assert.ok(!isLifted(delivery), bodyText(delivery));
      await dead.settle({ kind: "deadLetter", failure: failure(1) });
      await deferred.settle({ kind: "defer" });
      const parked = brief("parked");
      await transport.send([{ ...parked, to: { kind: "topic", name: topic } }]);
      await stage.pass(aheadMs + 50);
      const accepts = [{ type: parked.envelope.header.type }];
      const name = "late";
      await transport.declare(topology({ subscriptions: [{ topic, name, accepts }] }));
      const [unrouted] = await inspection.list({ state: "dead", address: `${topic}/`, limit: 2 });
      const handles = [dead.handle ?? "", unrouted?.handle ?? ""];
      assert.equal(await inspection.replay(handles), 2);
      assert.equal(await inspection.resumeDeferred(deferred.handle ?? ""), "resumed");
      const second = stage.receive(transport, { kind: "subscription", topic, name });
      for (const probe of [first, first, second]) {
        const delivery = await probe.next();
        assert.ok(isLifted(delivery), bodyText(delivery));
        await delivery.settle({ kind: "retry", delayMs: 0, failure: failure(1) });
        const again = await probe.next();
        assert.ok(isLifted(again), bodyText(again));
        await again.settle(complete);
      }
    },
  },
  {
    id: "expiry.in-time",
    title:
      "a message with an expiry is delivered while it is in time, and is not taken from who holds it",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const notAfter = stage.now() + aheadMs;
      await transport.send([toQueue(queue, "in time", { notAfter })]);
      const probe = stage.receive(transport, source);
      const delivery = await probe.next();
      await stage.pass(notAfter - stage.now() + 50);
      const dead = { state: "dead", address: queue, limit: 10 } as const;
      assert.deepEqual(await transport.inspection.list(dead), []);
      assert.equal(await delivery.settle(complete), "settled");
      assert.deepEqual(await transport.inspection.list(dead), []);
    },
  },
  {
    id: "expiry.after-release",
    title: "a message that expired in the hands of a receiver is not delivered again",
    notFor: needsDeadLetters,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const notAfter = stage.now() + aheadMs;
      await transport.send([toQueue(queue, "held too long", { notAfter })]);
      const probe = stage.receive(transport, source);
      const delivery = await probe.next();
      await stage.pass(notAfter - stage.now() + 50);
      assert.equal(await delivery.settle({ kind: "release" }), "settled");
      const [dead] = await stage.listed(transport.inspection, { state: "dead", address: queue }, 1);
      assert.equal(dead?.failure?.reason, "EXPIRED");
      await probe.nothingMore();
    },
  },
  {
    id: "expiry.discard",
    title: "a message whose sender wants no dead letter of it is deleted when it expires",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([
        toQueue(queue, "call", { notAfter: stage.now() + 60, discardExpired: true }),
      ]);
      await stage.pass(120);
      const probe = stage.receive(transport, source);
      await probe.nothingMore();
      await stage.until("an empty queue", async () => {
        const state = (await transport.inspection.addresses()).find(
          ({ address }) => address === queue,
        );
        return state?.ready === 0 && state.dead === 0;
      });
    },
  },
];
