import assert from "node:assert/strict";
import {
  type SuiteCase,
  needsAll,
  needsDeadLetters,
  needsDelay,
  needsFollowing,
  needsFreeRelease,
} from "./case.ts";
import { failure, numbers, toQueue } from "./messages.ts";
import { bodyText, complete, release } from "./probe.ts";
import type { Stage } from "./stage.ts";

/** A queue whose messages are dead, `bodies` in their order. */
async function graveyard(stage: Stage, bodies: readonly string[]) {
  const { transport, queue, source } = await stage.withQueue();
  await transport.send(bodies.map((body) => toQueue(queue, body)));
  const probe = stage.receive(transport, source);
  for (const delivery of await probe.take(bodies.length)) {
    await delivery.settle({ kind: "deadLetter", failure: failure(1) });
  }
  const dead = await stage.listed(
    transport.inspection,
    { state: "dead", address: queue },
    bodies.length,
  );
  return { transport, queue, source, probe, dead };
}

export const asideCases: readonly SuiteCase[] = [
  {
    id: "dead.fields",
    title: "a dead letter keeps its message, its attempts and the whole failure",
    notFor: needsDeadLetters,
    run: async (stage) => {
      const { queue, dead, probe } = await graveyard(stage, ["poison"]);
      const [letter] = dead;
      assert.equal(dead.length, 1);
      assert.equal(letter?.address, queue);
      assert.equal(letter?.state, "dead");
      assert.equal(letter?.attempt, 1);
      assert.deepEqual(letter?.failure, failure(1));
      assert.deepEqual(letter?.envelope, probe.deliveries[0]?.envelope);
      assert.equal(letter?.enqueuedAt, probe.deliveries[0]?.enqueuedAt);
      await probe.nothingMore();
    },
  },
  {
    id: "dead.pages",
    title: "dead letters are listed oldest first, page by page, by address or all together",
    notFor: needsDeadLetters,
    run: async (stage) => {
      const { transport, queue, dead } = await graveyard(stage, numbers(7));
      const seen: string[] = [];
      for (let after: string | undefined; ;) {
        const page = await transport.inspection.list({
          state: "dead",
          address: queue,
          limit: 3,
          ...(after === undefined ? {} : { after }),
        });
        assert.ok(page.length <= 3);
        seen.push(...page.map(bodyText));
        after = page.at(-1)?.handle;
        if (page.length < 3) break;
      }
      assert.deepEqual(seen, numbers(7));
      assert.equal(new Set(dead.map((letter) => letter.handle)).size, 7);
      const all = await transport.inspection.list({ state: "dead", limit: 1_000 });
      assert.ok(dead.every(({ handle }) => all.some((letter) => letter.handle === handle)));
      assert.deepEqual(
        await transport.inspection.list({
          state: "dead",
          address: stage.name("nowhere"),
          limit: 5,
        }),
        [],
      );
    },
  },
  {
    id: "dead.replay",
    title: "a replayed dead letter is delivered again with attempt 1, once",
    notFor: needsDeadLetters,
    run: async (stage) => {
      const { transport, queue, probe, dead } = await graveyard(stage, ["one", "two"]);
      const handles = dead
        .filter((letter) => bodyText(letter) === "two")
        .map((letter) => letter.handle);
      assert.equal(await transport.inspection.replay(handles), 1);
      assert.equal(await transport.inspection.replay(handles), 0);
      const again = await probe.next();
      assert.equal(bodyText(again), "two");
      assert.equal(again.attempt, 1);
      assert.equal(await again.settle(complete), "settled");
      const left = await transport.inspection.list({ state: "dead", address: queue, limit: 10 });
      assert.deepEqual(left.map(bodyText), ["one"]);
      await probe.nothingMore();
    },
  },
  {
    id: "dead.follow",
    title: "a replayed dead letter keeps its handle and is followed: waiting, dead again, gone",
    notFor: needsAll(needsDeadLetters, needsFollowing),
    run: async (stage) => {
      const { transport, probe, dead } = await graveyard(stage, ["one", "two", "three"]);
      const handles = dead.map((letter) => letter.handle);
      const follow = async (): Promise<string> =>
        (await transport.inspection.follow([...handles, "no such handle", ""])).join();
      assert.equal(await follow(), "dead,dead,dead,gone,gone");
      assert.equal(await transport.inspection.replay(handles), 3);
      const back = new Map((await probe.take(3)).map((delivery) => [bodyText(delivery), delivery]));
      assert.equal(await follow(), "waiting,waiting,waiting,gone,gone");
      await back.get("one")?.settle(complete);
      await back.get("two")?.settle({ kind: "deadLetter", failure: failure(1) });
      await back.get("three")?.settle({ kind: "defer" });
      await stage.until(
        "their ends",
        async () => (await follow()) === "gone,dead,deferred,gone,gone",
      );
      assert.equal(await transport.inspection.replay(handles), 2);
      assert.equal(await follow(), "gone,waiting,waiting,gone,gone");
      const other = await stage.open();
      assert.deepEqual(await other.inspection.follow(handles), ["gone", "waiting", "waiting"]);
    },
  },
  {
    id: "dead.release-later",
    title:
      "a replayed dead letter that is released until later keeps its failure, and its handle is still followed",
    notFor: needsAll(needsDeadLetters, needsFollowing, needsDelay(1_000), needsFreeRelease),
    run: async (stage) => {
      const { transport, probe, dead } = await graveyard(stage, ["one"]);
      const handles = dead.map((letter) => letter.handle);
      await transport.inspection.replay(handles);
      await (await probe.next()).settle({ kind: "release", delayMs: 50 });
      const again = await probe.next();
      assert.deepEqual([again.attempt, again.failure, again.handle], [1, failure(1), handles[0]]);
      assert.deepEqual(await transport.inspection.follow(handles), ["waiting"]);
      assert.equal(await again.settle(complete), "settled");
      assert.deepEqual(await transport.inspection.follow(handles), ["gone"]);
    },
  },
  {
    id: "dead.follow-discarded",
    title: "who follows a replay can tell what was discarded or purged from what was handled",
    notFor: needsAll(needsDeadLetters, needsFollowing),
    run: async (stage) => {
      const { transport, queue, probe, dead } = await graveyard(stage, ["one", "two", "three"]);
      const handles = dead.map((letter) => letter.handle);
      assert.equal(await transport.inspection.replay(handles.slice(0, 2)), 2);
      const back = new Map((await probe.take(2)).map((delivery) => [bodyText(delivery), delivery]));
      await back.get("one")?.settle(complete);
      await probe.receiver.stop();
      await back.get("two")?.settle(release);
      assert.equal(await transport.inspection.discard(handles.slice(1, 2)), 1);
      assert.equal(await transport.inspection.purge(queue, "dead"), 1);
      const other = await stage.open();
      assert.deepEqual(await other.inspection.follow([...handles, "no such handle"]), [
        "gone",
        "discarded",
        "discarded",
        "gone",
      ]);
    },
  },
  {
    id: "dead.discard",
    title: "a discarded dead letter is gone; unknown handles count for nothing",
    notFor: needsDeadLetters,
    run: async (stage) => {
      const { transport, queue, dead } = await graveyard(stage, numbers(3));
      const handles = dead.map((letter) => letter.handle);
      assert.equal(await transport.inspection.discard(handles.slice(0, 2)), 2);
      assert.equal(
        await transport.inspection.discard([...handles.slice(0, 2), "no such handle", ""]),
        0,
      );
      assert.equal(await transport.inspection.replay(handles.slice(0, 2)), 0);
      const left = await transport.inspection.list({ state: "dead", address: queue, limit: 10 });
      assert.deepEqual(left.map(bodyText), ["2"]);
    },
  },
  {
    id: "dead.outlive",
    title: "dead letters outlive the instance that made them",
    notFor: needsDeadLetters,
    run: async (stage) => {
      const { transport, queue } = await graveyard(stage, ["poison"]);
      await transport[Symbol.asyncDispose]();
      const other = await stage.open();
      const [letter] = await other.inspection.list({ state: "dead", address: queue, limit: 10 });
      assert.deepEqual(letter?.failure, failure(1));
    },
  },
  {
    id: "defer.replay",
    title: "a deferred message waits until somebody resumes it",
    notFor: needsDeadLetters,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([toQueue(queue, "later")]);
      const probe = stage.receive(transport, source);
      assert.equal(await (await probe.next()).settle({ kind: "defer" }), "settled");
      const [deferred] = await stage.listed(
        transport.inspection,
        { state: "deferred", address: queue },
        1,
      );
      await probe.nothingMore();
      assert.equal(await transport.inspection.replay([deferred?.handle ?? ""]), 1);
      const again = await probe.next();
      assert.equal(bodyText(again), "later");
      assert.equal(again.attempt, 1);
      assert.equal(
        (await transport.inspection.list({ state: "deferred", address: queue, limit: 10 })).length,
        0,
      );
    },
  },
];
