import assert from "node:assert/strict";
import type { Delivery, Settlement } from "@waybill/core";
import {
  type SuiteCase,
  needsAll,
  needsDeadLetters,
  needsFollowing,
  needsSessions,
} from "./case.ts";
import { failure, numbers, toQueue } from "./messages.ts";
import { bodyText, complete } from "./probe.ts";

const deferred: Settlement = { kind: "defer" };

const handleOf = ({ handle }: Delivery): string => {
  assert.ok(handle !== undefined, "a message of a queue has a handle");
  return handle;
};

export const deferCases: readonly SuiteCase[] = [
  {
    id: "defer.resume",
    title:
      "a deferred message is resumed by the handle of its delivery, once, as the same attempt and with its failure",
    notFor: needsAll(needsDeadLetters, needsFollowing),
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const { inspection } = transport;
      await transport.send([toQueue(queue, "later")]);
      const probe = stage.receive(transport, source);
      const first = await probe.next();
      await first.settle({ kind: "retry", delayMs: 0, failure: failure(1) });
      const again = await probe.next();
      const handle = handleOf(again);
      assert.equal(handle, handleOf(first), "a retry keeps its handle");
      assert.equal(await inspection.resumeDeferred(handle), "waiting", "it is not deferred yet");
      assert.equal(await again.settle(deferred), "settled");
      assert.equal(await inspection.resumeDeferred(handle), "resumed");
      const resumed = await probe.next();
      const told = [bodyText(resumed), resumed.attempt, handleOf(resumed)];
      assert.deepEqual(told, ["later", 2, handle]);
      assert.deepEqual(resumed.failure, failure(1));
      assert.equal(await inspection.resumeDeferred(handle), "waiting", "it is in somebody's hands");
      assert.equal(await resumed.settle(complete), "settled");
      assert.equal(await inspection.resumeDeferred(handle), "gone");
      for (const none of ["no such handle", "", "#", "-1"])
        assert.equal(await inspection.resumeDeferred(none), "gone");
    },
  },
  {
    id: "defer.front",
    title: "what is resumed comes next, before what has waited longer and was sent later",
    notFor: needsDeadLetters,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send(numbers(5).map((body) => toQueue(queue, body)));
      const probe = stage.receive(transport, source, { prefetch: 1 });
      const first = await probe.next();
      await first.settle(deferred);
      const second = await probe.next();
      const other = await stage.open();
      assert.equal(await other.inspection.resumeDeferred(handleOf(first)), "resumed");
      await second.settle(complete);
      for (const body of ["0", "2", "3", "4"]) {
        const delivery = await probe.next();
        assert.deepEqual([bodyText(delivery), delivery.attempt], [body, 1]);
        await delivery.settle(complete);
      }
    },
  },
  {
    id: "defer.session",
    title:
      "a session goes on without what it deferred; what is resumed comes before what still waits of it",
    notFor: (capabilities) => needsDeadLetters(capabilities) ?? needsSessions(capabilities),
    run: async (stage) => {
      const queue = stage.name("queue");
      const transport = await stage.declared({ queues: [{ name: queue, sessions: true }] });
      const header = { partitionkey: "key" };
      await transport.send(numbers(4).map((body) => toQueue(queue, body, { header })));
      const probe = stage.receive(transport, { kind: "queue", name: queue }, { prefetch: 1 });
      const first = await probe.next();
      await first.settle(deferred);
      const second = await probe.next();
      assert.equal(bodyText(second), "1");
      assert.equal(await transport.inspection.resumeDeferred(handleOf(first)), "resumed");
      await second.settle(complete);
      for (const body of ["0", "2", "3"]) {
        const delivery = await probe.next();
        assert.equal(bodyText(delivery), body);
        assert.equal(delivery.session?.id, "key");
        await delivery.settle(complete);
      }
      await probe.nothingMore();
    },
  },
  {
    id: "defer.get",
    title: "what was set aside is read by its handle, in every process and after its own has ended",
    notFor: needsDeadLetters,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send(["later", "poison", "held"].map((body) => toQueue(queue, body)));
      const probe = stage.receive(transport, source, { prefetch: 3 });
      const [later, poison, held] = (await probe.take(3)) as [Delivery, Delivery, Delivery];
      await later.settle(deferred);
      await poison.settle({ kind: "deadLetter", failure: failure(1) });
      assert.equal(await transport.inspection.get(handleOf(held)), undefined);
      await probe.receiver.stop();
      await held.settle(complete);
      await transport[Symbol.asyncDispose]();
      const { inspection } = await stage.open();
      const [listed] = await inspection.list({ state: "deferred", address: queue, limit: 5 });
      assert.deepEqual(await inspection.get(handleOf(later)), listed);
      const { state, attempt, envelope } = (await inspection.get(handleOf(later))) ?? {};
      assert.deepEqual([state, attempt, envelope], ["deferred", 1, later.envelope]);
      const dead = await inspection.get(handleOf(poison));
      assert.deepEqual([dead?.state, dead?.failure, dead?.address], ["dead", failure(1), queue]);
      assert.equal(await inspection.resumeDeferred(handleOf(poison)), "dead");
      for (const none of [handleOf(held), "no such handle", ""])
        assert.equal(await inspection.get(none), undefined);
      assert.equal(await inspection.resumeDeferred(handleOf(later)), "resumed");
      assert.equal(await inspection.get(handleOf(later)), undefined);
    },
  },
];
