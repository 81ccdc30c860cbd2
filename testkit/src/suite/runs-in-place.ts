import assert from "node:assert/strict";
import type { Delivery, Failure, Settled } from "@waybill/core";
import {
  type SuiteCase,
  needsAll,
  needsAttemptsInPlace,
  needsDeadLetters,
  needsSessions,
  needsStreams,
} from "./case.ts";
import { failure, toQueue, topology } from "./messages.ts";
import { bodyText, complete, release } from "./probe.ts";
import { items, withStream } from "./streams.ts";

const again = async (delivery: Delivery, left: Failure): Promise<Settled> => {
  assert.ok(delivery.countRun !== undefined, "a delivery counts runs");
  return delivery.countRun(left);
};

/** A handler that failed runs again where it is: what the transport writes down about it. */
export const runsInPlaceCases: readonly SuiteCase[] = [
  {
    id: "runs.counted",
    title:
      "a run in place counts an attempt and leaves its failure; who gets the message after a crash goes on behind both",
    notFor: needsAttemptsInPlace,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([toQueue(queue, "poison")]);
      const dying = await stage.open();
      const first = await stage.receive(dying, source).next();
      for (const run of [2, 3]) {
        assert.equal(await again(first, failure(run - 1)), "settled");
        assert.deepEqual([first.attempt, first.failure], [run, failure(run - 1)]);
      }
      await dying[Symbol.asyncDispose]();
      assert.equal(await again(first, failure(3)), "lockLost");
      const next = await stage.receive(transport, source).next();
      assert.deepEqual([next.attempt, next.failure], [4, failure(2)]);
      assert.equal(await next.settle(complete), "settled");
      assert.equal(await again(next, failure(4)), "lockLost");
    },
  },
  {
    id: "runs.released",
    title:
      "a release takes back the run that was counted last, and a dead letter shows all the others",
    notFor: needsAll(needsAttemptsInPlace, needsDeadLetters),
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([toQueue(queue, "poison")]);
      const probe = stage.receive(transport, source);
      const first = await probe.next();
      await again(first, failure(1));
      assert.equal(await first.settle(release), "settled");
      const second = await probe.next();
      assert.deepEqual([second.attempt, second.failure], [2, failure(1)]);
      await again(second, failure(2));
      await second.settle({ kind: "deadLetter", failure: failure(3) });
      const [dead] = await stage.listed(transport.inspection, { state: "dead", address: queue }, 1);
      assert.deepEqual([dead?.attempt, dead?.failure], [3, failure(3)]);
    },
  },
  {
    id: "runs.session",
    title: "in a session the head counts its runs in place; what stands behind it counts none",
    notFor: needsAll(needsAttemptsInPlace, needsSessions),
    run: async (stage) => {
      const queue = stage.name("queue");
      const transport = await stage.open();
      await transport.declare(topology({ queues: [{ name: queue, sessions: true }] }));
      const header = { partitionkey: "key" };
      await transport.send(["head", "next"].map((body) => toQueue(queue, body, { header })));
      const source = { kind: "queue", name: queue } as const;
      const leaving = stage.receive(transport, source, { sessions: 1 });
      const [head] = await leaving.take(2);
      assert.ok(head !== undefined);
      await again(head, failure(1));
      await leaving.receiver.stop();
      assert.equal(await head.settle(release), "settled");
      const probe = stage.receive(transport, source);
      for (const [body, attempt, left] of [
        ["head", 2, failure(1)],
        ["next", 1, undefined],
      ] as const) {
        const delivery = await probe.next();
        assert.deepEqual(
          [bodyText(delivery), delivery.attempt, delivery.failure],
          [body, attempt, left],
        );
        await delivery.settle(complete);
      }
    },
  },
  {
    id: "runs.stream",
    title:
      "of a stream the first item that is not settled counts its runs in place, for who reads on when its process has ended or gives it back",
    notFor: needsAll(needsAttemptsInPlace, needsStreams),
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 1);
      await transport.send(items(stream, 3, ["a"]));
      const dying = await stage.open();
      const [done, poison] = await stage.receive(dying, group()).take(3);
      assert.ok(done !== undefined && poison !== undefined);
      assert.equal(await done.settle(complete), "settled");
      assert.equal(await again(poison, failure(1)), "settled");
      assert.equal(poison.attempt, 2);
      await dying[Symbol.asyncDispose]();
      assert.equal(await again(poison, failure(2)), "lockLost");
      const leaving = await stage.open();
      const probe = stage.receive(leaving, group());
      const second = await probe.next();
      assert.deepEqual([bodyText(second), second.attempt], ["a:1", 3]);
      assert.equal(await again(second, failure(3)), "settled");
      assert.equal(second.attempt, 4);
      await probe.receiver.stop();
      assert.equal(await second.settle(release), "settled");
      for (const rest of probe.deliveries.slice(1)) await rest.settle(release);
      await leaving[Symbol.asyncDispose]();
      const last = stage.receive(transport, group());
      const third = await last.next();
      assert.deepEqual([bodyText(third), third.attempt], ["a:1", 4]);
      await third.settle(complete);
      const behind = await last.next();
      assert.equal(bodyText(behind), "a:2");
      assert.ok(behind.attempt <= 2, "its handler may have run once");
      await behind.settle(complete);
    },
  },
];
