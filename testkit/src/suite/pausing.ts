import assert from "node:assert/strict";
import { type SuiteCase, needsDelay, needsPause, needsSessions, needsStreams } from "./case.ts";
import { stateOf } from "./inspection.ts";
import { failure, numbers, toQueue, toTopic } from "./messages.ts";
import { bodyText, complete, release, settleAll } from "./probe.ts";
import { items, withStream } from "./streams.ts";

export const pausingCases: readonly SuiteCase[] = [
  {
    id: "pause.all-processes",
    title:
      "a paused queue hands nothing to any process, also to one that comes later; messages are kept, and all of it goes on at resume",
    notFor: needsPause,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const other = await stage.open();
      const probes = [transport, other].map((each) => stage.receive(each, source, settleAll));
      const bodies = (): readonly string[] => probes.flatMap((probe) => probe.bodies).toSorted();
      await transport.send([toQueue(queue, "before")]);
      await stage.until("the first", () => bodies().length === 1);
      await other.inspection.pause(queue, "a test");
      await transport.send([toQueue(queue, "b")]);
      await other.send([toQueue(queue, "a")]);
      const third = await stage.open();
      probes.push(stage.receive(third, source, settleAll));
      await stage.pass(60);
      assert.deepEqual(bodies(), ["before"]);
      assert.equal((await stateOf(transport.inspection, queue))?.ready, 2);
      assert.equal(await third.inspection.resume(queue), true);
      await stage.until("what was kept", () => bodies().length === 3);
      assert.deepEqual(bodies(), ["a", "b", "before"]);
      assert.equal(await third.inspection.resume(queue), false);
    },
  },
  {
    id: "pause.in-flight",
    title: "what is in flight at a pause settles; what comes back, or falls due, waits for resume",
    notFor: (capabilities) => needsPause(capabilities) ?? needsDelay(10)(capabilities),
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send(numbers(3).map((body) => toQueue(queue, body)));
      const probe = stage.receive(transport, source);
      const [done, back, retried] = await probe.take(3);
      await transport.inspection.pause(queue, "a test");
      assert.equal(await done?.settle(complete), "settled");
      assert.equal(await back?.settle(release), "settled");
      const retry = { kind: "retry", delayMs: 10, failure: failure(1) } as const;
      assert.equal(await retried?.settle(retry), "settled");
      await stage.until(
        "the retry to be due",
        async () => (await stateOf(transport.inspection, queue))?.ready === 2,
      );
      await probe.nothingMore();
      await transport.inspection.resume(queue);
      const again = await probe.take(2);
      assert.deepEqual(again.map(bodyText).toSorted(), ["1", "2"]);
      // Only the failed attempt was counted.
      assert.deepEqual(new Set(again.map(({ attempt }) => attempt)), new Set([1, 2]));
    },
  },
  {
    id: "pause.subscription",
    title: "a paused subscription keeps its copies and holds up no other subscription",
    notFor: needsPause,
    run: async (stage) => {
      const topic = stage.name("topic");
      const accepts = [{ type: "suite.happened" }];
      const transport = await stage.declared({
        topics: [{ name: topic }],
        subscriptions: ["one", "two"].map((name) => ({ topic, name, accepts })),
      });
      const [one, two] = ["one", "two"].map((name) =>
        stage.receive(transport, { kind: "subscription", topic, name }),
      );
      await transport.inspection.pause(`${topic}/one`, "a test");
      await transport.send([toTopic(topic, "event")]);
      assert.equal(bodyText((await two?.next()) ?? assert.fail()), "event");
      await one?.nothingMore();
      await transport.inspection.resume(`${topic}/one`);
      assert.equal(bodyText((await one?.next()) ?? assert.fail()), "event");
    },
  },
  {
    id: "pause.sessions",
    title: "sessions wait while their queue is paused, and keep their order after it",
    notFor: (capabilities) => needsPause(capabilities) ?? needsSessions(capabilities),
    run: async (stage) => {
      const queue = stage.name("queue");
      const transport = await stage.declared({ queues: [{ name: queue, sessions: true }] });
      const header = { partitionkey: "key" };
      const probe = stage.receive(transport, { kind: "queue", name: queue }, settleAll);
      await transport.inspection.pause(queue, "a test");
      for (const body of numbers(5)) await transport.send([toQueue(queue, body, { header })]);
      await probe.nothingMore();
      await transport.inspection.resume(queue);
      assert.deepEqual((await probe.take(5)).map(bodyText), numbers(5));
    },
  },
  {
    id: "pause.group",
    title: "a paused group reads nothing in any process and goes on where it stood; others read on",
    notFor: (capabilities) => needsPause(capabilities) ?? needsStreams(capabilities),
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 2);
      const sent = items(stream, 20, ["a", "b", "c"]);
      const other = await stage.open();
      const probes = [transport, other].map((each) => stage.receive(each, group(), settleAll));
      const count = (): number => probes.reduce((sum, probe) => sum + probe.bodies.length, 0);
      await transport.send(sent.slice(0, 10));
      await stage.until("the first ten", () => count() === 10);
      await transport.inspection.pause(`${stream}@readers`, "a test");
      await other.send(sent.slice(10));
      await stage.receive(transport, group("others")).take(20);
      // Partitions pass to another member, which reads nothing all the same.
      probes.push(stage.receive(await stage.open(), group(), settleAll));
      await probes[0]?.receiver.stop();
      await stage.pass(60);
      assert.equal(count(), 10);
      await transport.inspection.resume(`${stream}@readers`);
      await stage.until("the last ten", () => count() === 20);
      assert.equal(new Set(probes.flatMap((probe) => probe.bodies)).size, 20);
    },
  },
  {
    id: "pause.told",
    title:
      "since when and why an address is paused is told to every process, also after the one that paused it is gone",
    notFor: needsPause,
    run: async (stage) => {
      const { transport, queue } = await stage.withQueue();
      const before = stage.now();
      await transport.inspection.pause(queue, "the bank is down");
      const first = (await stateOf(transport.inspection, queue))?.paused;
      assert.equal(first?.reason, "the bank is down");
      assert.ok(first.since >= Math.floor(before) && first.since <= stage.now(), `${first.since}`);
      await stage.pass(20);
      await transport.inspection.pause(queue, "still");
      await transport[Symbol.asyncDispose]();
      const other = await stage.declared({ queues: [{ name: queue }] });
      const expected = { since: first.since, reason: "still" };
      assert.deepEqual((await stateOf(other.inspection, queue))?.paused, expected);
      const settings = await other.inspection.settings();
      assert.deepEqual(settings.find(({ address }) => address === queue)?.paused, expected);
      await other.inspection.resume(queue);
      assert.equal((await stateOf(other.inspection, queue))?.paused, undefined);
    },
  },
  {
    id: "pause.refused",
    title:
      "pausing what does not exist is NOT_FOUND, a topic NOT_SUPPORTED, without a reason OPTION_INVALID",
    notFor: needsPause,
    run: async (stage) => {
      const topic = stage.name("topic");
      const { inspection } = await stage.declared({ topics: [{ name: topic }] });
      const nowhere = stage.name("nowhere");
      await assert.rejects(inspection.pause(nowhere, "why"), { code: "NOT_FOUND" });
      await assert.rejects(inspection.resume(nowhere), { code: "NOT_FOUND" });
      await assert.rejects(inspection.pause(`${topic}/`, "why"), { code: "NOT_SUPPORTED" });
      for (const reason of ["", "x".repeat(501), undefined as unknown as string])
        await assert.rejects(inspection.pause(`${topic}/`, reason), { code: "OPTION_INVALID" });
    },
  },
];
