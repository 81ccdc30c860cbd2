import assert from "node:assert/strict";
import {
  type SuiteCase,
  needsAll,
  needsAtomicSettle,
  needsAttempts,
  needsDelay,
  needsFreeRelease,
  needsOrder,
} from "./case.ts";
import { failure, numbers, toQueue } from "./messages.ts";
import { bodyText, complete, release } from "./probe.ts";

const needsRetry = needsDelay(200);

export const settlingCases: readonly SuiteCase[] = [
  {
    id: "settle.with-send",
    title: "completing with messages takes the one away and sends the others",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue("in");
      const out = stage.name("out");
      const other = await stage.declared({ queues: [{ name: out }] });
      await transport.send([toQueue(queue, "order")]);
      const probe = stage.receive(transport, source);
      const results = stage.receive(other, { kind: "queue", name: out });
      const send = [toQueue(out, "first"), toQueue(out, "second")];
      assert.equal(await (await probe.next()).settle({ kind: "complete", send }), "settled");
      assert.deepEqual((await results.take(2)).map(bodyText).toSorted(), ["first", "second"]);
      await probe.nothingMore();
    },
  },
  {
    id: "settle.refused-send",
    title:
      "completing with a message that cannot be sent rejects, changes nothing, and the delivery can be settled otherwise",
    notFor: needsAtomicSettle,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([toQueue(queue, "order")]);
      const probe = stage.receive(transport, source);
      const delivery = await probe.next();
      const send = [toQueue(queue, "not sent"), toQueue(stage.name("nowhere"), "lost?")];
      await assert.rejects(delivery.settle({ kind: "complete", send }), { code: "UNROUTABLE" });
      assert.equal(await delivery.settle({ kind: "deadLetter", failure: failure(1) }), "settled");
      const [dead] = await stage.listed(transport.inspection, { state: "dead", address: queue }, 1);
      assert.equal(bodyText({ envelope: dead?.envelope ?? delivery.envelope }), "order");
      await probe.nothingMore();
    },
  },
  {
    id: "settle.release",
    title: "a released message comes back at once, its attempt not counted",
    notFor: needsFreeRelease,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([toQueue(queue, "untouched")]);
      const probe = stage.receive(transport, source);
      assert.equal(await (await probe.next()).settle(release), "settled");
      const again = await probe.next();
      assert.equal(again.attempt, 1);
      assert.equal(again.failure, undefined);
    },
  },
  {
    id: "settle.release-order",
    title: "released messages come back before those behind them, in their order",
    notFor: needsOrder,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send(numbers(6).map((body) => toQueue(queue, body)));
      const probe = stage.receive(transport, source, { prefetch: 3 });
      const taken = await probe.take(3);
      await probe.receiver.stop();
      for (const delivery of taken) await delivery.settle(release);
      const next = stage.receive(transport, source);
      assert.deepEqual((await next.take(6)).map(bodyText), numbers(6));
    },
  },
  {
    id: "settle.release-around",
    title: "what is released before and behind a message that is still held comes again without it",
    notFor: needsOrder,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send(numbers(3).map((body) => toQueue(queue, body)));
      const probe = stage.receive(transport, source, { prefetch: 4 });
      const [before, held, behind] = await probe.take(3);
      probe.receiver.pause();
      for (const delivery of [before, behind])
        assert.equal(await delivery?.settle(release), "settled");
      probe.receiver.resume();
      assert.deepEqual((await probe.take(2)).map(bodyText), ["0", "2"]);
      await probe.nothingMore();
      assert.equal(await held?.settle(complete), "settled");
    },
  },
  {
    id: "settle.release-later",
    title:
      "a message released with a delay comes back after it, its attempt not counted and nothing noted, and lets others pass",
    notFor: needsRetry,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([toQueue(queue, "later")]);
      const probe = stage.receive(transport, source);
      const first = await probe.next();
      const releasedAt = stage.now();
      assert.equal(await first.settle({ kind: "release", delayMs: 150 }), "settled");
      await transport.send([toQueue(queue, "now")]);
      const other = await probe.next();
      assert.equal(bodyText(other), "now");
      assert.equal(await other.settle(complete), "settled");
      const again = await probe.next();
      assert.equal(bodyText(again), "later");
      assert.ok(stage.now() - releasedAt >= 148, `came after ${stage.now() - releasedAt} ms`);
      assert.equal(again.attempt, 1);
      assert.equal(again.failure, undefined);
      assert.equal(await first.settle(complete), "lockLost");
    },
  },
  {
    id: "retry.not-early",
    title: "a retried message comes back after its delay, not before",
    notFor: needsRetry,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([toQueue(queue, "flaky")]);
      const probe = stage.receive(transport, source);
      const delivery = await probe.next();
      const failedAt = stage.now();
      await delivery.settle({ kind: "retry", delayMs: 150, failure: failure(1) });
      await probe.next();
      assert.ok(
        stage.now() - failedAt >= 148,
        `came after ${stage.now() - failedAt} ms instead of 150`,
      );
    },
  },
  {
    id: "retry.attempts",
    title: "each retry counts an attempt and brings the failure of the one before",
    notFor: (capabilities) => needsRetry(capabilities) ?? needsAttempts(capabilities),
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([toQueue(queue, "flaky")]);
      const probe = stage.receive(transport, source);
      for (const attempt of [1, 2, 3, 4]) {
        const delivery = await probe.next();
        assert.equal(delivery.attempt, attempt);
        assert.deepEqual(delivery.failure, attempt === 1 ? undefined : failure(attempt - 1));
        await delivery.settle({
          kind: "retry",
          delayMs: attempt === 2 ? 0 : 10,
          failure: failure(attempt),
        });
      }
    },
  },
  {
    id: "retry.release-between",
    title: "a release after a retry keeps the failure and the count",
    notFor: needsAll(needsRetry, needsAttempts, needsFreeRelease),
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([toQueue(queue, "flaky")]);
      const probe = stage.receive(transport, source);
      await (await probe.next()).settle({ kind: "retry", delayMs: 0, failure: failure(1) });
      await (await probe.next()).settle(release);
      const again = await probe.next();
      assert.equal(again.attempt, 2);
      assert.deepEqual(again.failure, failure(1));
    },
  },
  {
    id: "retry.others-pass",
    title: "a message that waits for its retry does not hold up the others",
    notFor: needsRetry,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([toQueue(queue, "flaky"), toQueue(queue, "fine")]);
      const probe = stage.receive(transport, source, { prefetch: 1 });
      await (await probe.next()).settle({ kind: "retry", delayMs: 100, failure: failure(1) });
      const fine = await probe.next();
      assert.equal(bodyText(fine), "fine");
      await fine.settle(complete);
      assert.equal(bodyText(await probe.next()), "flaky");
    },
  },
];
