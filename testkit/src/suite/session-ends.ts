import assert from "node:assert/strict";
import type { Delivery, Settlement } from "@waybill/core";
import { type SuiteCase, needsDeadLetters, needsSessions } from "./case.ts";
import { failure } from "./messages.ts";
import { bodyText, complete, settleAll } from "./probe.ts";
import { keyed, retryFailure, sessionQueue } from "./session-stage.ts";
import type { Stage } from "./stage.ts";

const needsBoth: SuiteCase["notFor"] = (capabilities) =>
  needsSessions(capabilities) ?? needsDeadLetters(capabilities);

/** What becomes of a session whose messages fail. */
export const sessionEndCases: readonly SuiteCase[] = [
  {
    id: "session.retry",
    title: "a message that is retried holds back its session for the delay, and no other one",
    notFor: needsSessions,
    run: async (stage) => {
      const [again, behind] = await headComesLater(stage, {
        kind: "retry",
        delayMs: 150,
        failure: retryFailure,
      });
      assert.deepEqual([again?.attempt, behind?.attempt], [2, 1]);
      assert.equal(again?.failure?.message, "not now");
    },
  },
  {
    id: "session.rest",
    title: "of two delays in one session the longer one counts, whichever was asked for last",
    notFor: needsSessions,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      await transport.send(keyed(queue, "a1", "a2"));
      const probe = stage.receive(transport, source, { sessions: 1 });
      const [a1, a2] = await probe.take(2);
      const failedAt = stage.now();
      await a2?.settle({ kind: "retry", delayMs: 300, failure: retryFailure });
      await a1?.settle({ kind: "retry", delayMs: 50, failure: retryFailure });
      const back = await probe.take(2);
      assert.deepEqual(back.map(bodyText), ["a1", "a2"]);
      assert.ok(stage.now() - failedAt >= 295, "the longer delay was kept");
    },
  },
  {
    id: "session.release-later",
    title:
      "a message released with a delay holds back its session for it, uncounted, and no other one",
    notFor: needsSessions,
    run: async (stage) => {
      const back = await headComesLater(stage, { kind: "release", delayMs: 150 });
      assert.deepEqual(
        back.map(({ attempt }) => attempt),
        [1, 1, 1],
      );
    },
  },
  {
    id: "session.dead-letter",
    title: "after a dead letter its session goes on; replayed, it comes before what waits",
    notFor: needsBoth,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      await transport.send(keyed(queue, "a1", "a2", "a3"));
      const first = stage.receive(transport, source, { prefetch: 1 });
      await (await first.next()).settle({ kind: "deadLetter", failure: failure(1) });
      const a2 = await first.next();
      assert.equal(bodyText(a2), "a2");
      const [dead] = await stage.listed(transport.inspection, { state: "dead", address: queue }, 1);
      await transport.inspection.replay([dead?.handle ?? ""]);
      await a2.settle(complete);
      const [again] = await first.take(1);
      assert.equal(again && bodyText(again), "a1");
      assert.equal(again?.attempt, 1);
      await again?.settle(complete);
      assert.equal(bodyText(await first.next()), "a3");
    },
  },
  {
    id: "session.park",
    title:
      "after a parking dead letter its session waits, over restarts too, until that is replayed; then all come in order",
    notFor: needsBoth,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      await transport.send(keyed(queue, "a1", "a2", "b1"));
      const first = stage.receive(transport, source, { sessions: 1 });
      const [a1, a2] = await first.take(2);
      await a1?.settle({ kind: "deadLetter", failure: failure(1), park: true });
      assert.equal(await a2?.settle(complete), "lockLost");
      const b1 = await first.next();
      assert.equal(bodyText(b1), "b1");
      await b1.settle(complete);
      await transport.send(keyed(queue, "a3"));
      await first.nothingMore();
      await first.receiver.stop();
      const other = await stage.open();
      const second = stage.receive(other, source, settleAll);
      await second.nothingMore();
      const [dead] = await other.inspection.list({ state: "dead", address: queue, limit: 10 });
      assert.equal(dead?.envelope.body, "a1");
      assert.equal(await other.inspection.replay([dead?.handle ?? ""]), 1);
      await second.take(3);
      assert.deepEqual(second.bodies, ["a1", "a2", "a3"]);
    },
  },
  {
    id: "session.park-twice",
    title:
      "a session waits for every dead letter that parks it, in whatever order they were set aside and come back; then all come in order",
    notFor: needsBoth,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      const { inspection } = transport;
      await transport.send(keyed(queue, "a1", "a2", "a3", "a4"));
      const first = stage.receive(transport, source, { prefetch: 3, sessions: 1 });
      const [a1, a2, a3] = await first.take(3);
      for (const held of [a3, a1])
        await held?.settle({ kind: "deadLetter", failure: failure(1), park: true });
      assert.equal(await a2?.settle(complete), "lockLost");
      await first.nothingMore();
      await first.receiver.stop();
      const dead = await inspection.list({ state: "dead", address: queue, limit: 10 });
      const handleOf = (body: string): string =>
        dead.find(({ envelope }) => envelope.body === body)?.handle ?? "";
      assert.equal(await inspection.replay([handleOf("a3")]), 1);
      const second = stage.receive(await stage.open(), source, settleAll);
      await second.nothingMore();
      assert.equal(await inspection.replay([handleOf("a1")]), 1);
      await second.take(4);
      assert.deepEqual(second.bodies, ["a1", "a2", "a3", "a4"]);
    },
  },
  {
    id: "session.park-discard",
    title: "discarding the dead letter for which a session waits lets the session go on",
    notFor: needsBoth,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      await transport.send(keyed(queue, "a1", "a2"));
      const probe = stage.receive(transport, source, { prefetch: 1 });
      await (await probe.next()).settle({ kind: "deadLetter", failure: failure(1), park: true });
      await probe.nothingMore();
      const [dead] = await transport.inspection.list({ state: "dead", address: queue, limit: 10 });
      assert.equal(await transport.inspection.discard([dead?.handle ?? ""]), 1);
      assert.equal(bodyText(await probe.next()), "a2");
    },
  },
  {
    id: "session.inspect",
    title: "what waits in sessions is counted and listed, oldest first",
    notFor: needsBoth,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      await transport.send(keyed(queue, "a1", "b1", "a2", "c1"));
      const ready = await transport.inspection.list({ state: "ready", address: queue, limit: 10 });
      assert.deepEqual(
        ready.map(({ envelope }) => envelope.body),
        ["a1", "b1", "a2", "c1"],
      );
      const probe = stage.receive(transport, source, { sessions: 1 });
      await probe.take(2);
      const states = await transport.inspection.addresses();
      const state = states.find(({ address }) => address === queue);
      assert.deepEqual([state?.ready, state?.inFlight], [2, 2]);
    },
  },
  {
    id: "session.expired",
    title: "a message of a session that expires becomes a dead letter, and its session goes on",
    notFor: needsBoth,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      const [a1, a2] = keyed(queue, "a1", "a2");
      if (a1 === undefined || a2 === undefined) throw new Error("two were made");
      await transport.send([{ ...a1, notAfter: stage.now() + 30 }, a2]);
      await stage.listed(transport.inspection, { state: "dead", address: queue }, 1);
      const probe = stage.receive(transport, source);
      assert.equal(bodyText(await probe.next()), "a2");
      await probe.nothingMore();
    },
  },
  {
    id: "session.expired-replay",
    title:
      "what expired in a session and is replayed takes its old place, behind what was sent before it",
    notFor: needsBoth,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      const [a1, a2, a3] = keyed(queue, "a1", "a2", "a3");
      if (a1 === undefined || a2 === undefined || a3 === undefined)
        throw new Error("three were made");
      await transport.send([a1, { ...a2, notAfter: stage.now() + 30 }, a3]);
      const [dead] = await stage.listed(transport.inspection, { state: "dead", address: queue }, 1);
      assert.equal(await transport.inspection.replay([dead?.handle ?? ""]), 1);
      const probe = stage.receive(transport, source, settleAll);
      await probe.take(3);
      assert.deepEqual(probe.bodies, ["a1", "a2", "a3"]);
    },
  },
  {
    id: "session.edit",
    title:
      "an edited dead letter takes its place in the session that waits for it; what waits can be discarded and purged",
    notFor: needsBoth,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      const { inspection } = transport;
      await transport.send(keyed(queue, "a1", "a2", "a3", "b1", "b2"));
      const probe = stage.receive(transport, source, { sessions: 1, prefetch: 1 });
      await (await probe.next()).settle({ kind: "deadLetter", failure: failure(1), park: true });
      const b1 = await probe.next();
      const [a2] = await inspection.list({ state: "ready", address: queue, limit: 10 });
      assert.equal(a2?.envelope.body, "a2");
      assert.equal(await inspection.discard([a2?.handle ?? ""]), 1);
      const [dead] = await inspection.list({ state: "dead", address: queue, limit: 10 });
      if (dead === undefined) throw new Error("a1 is dead");
      await inspection.replace(dead.handle, { ...dead.envelope, body: "a1 edited" });
      await b1.settle(complete);
      const seen = [];
      for (let count = 0; count < 2; count++) {
        const delivery = await probe.next();
        seen.push(bodyText(delivery));
        if (count === 0) await delivery.settle(complete);
      }
      assert.deepEqual(seen.toSorted(), ["a1 edited", "b2"]);
      assert.equal(await inspection.purge(queue, "ready"), 1);
      assert.deepEqual(await inspection.list({ state: "ready", address: queue, limit: 10 }), []);
    },
  },
];

/** The first message of a session goes back with that delay: its session waits for it, another goes on. Answers what then comes of it. */
async function headComesLater(
  stage: Stage,
  settlement: Settlement & { readonly delayMs: number },
): Promise<readonly Delivery[]> {
  const { transport, queue, source } = await sessionQueue(stage);
  await transport.send(keyed(queue, "a1", "a2", "b1"));
  const probe = stage.receive(transport, source, { sessions: 2 });
  const all = await probe.take(3);
  const [a1, a2, b1] = ["a1", "a2", "b1"].map((body) =>
    all.find((delivery) => bodyText(delivery) === body),
  );
  const from = stage.now();
  assert.equal(await a1?.settle(settlement), "settled");
  assert.equal(await a2?.settle(complete), "lockLost");
  assert.equal(await b1?.settle(complete), "settled");
  await transport.send(keyed(queue, "a3", "b2"));
  assert.equal(bodyText(await probe.next()), "b2");
  const back = await probe.take(3);
  assert.deepEqual(back.map(bodyText), ["a1", "a2", "a3"]);
  assert.ok(stage.now() - from >= settlement.delayMs - 5, "the delay was kept");
  return back;
}
