import assert from "node:assert/strict";
import { type SuiteCase, needsAtomicSettle, needsAttempts } from "./case.ts";
import { failure, toQueue } from "./messages.ts";
import { bodyText, complete, renewedLockMs } from "./probe.ts";

/** Of a process that falls silent: long enough that what it still does until then is over before. */
const shortLockMs = 1_000;

export const lockCases: readonly SuiteCase[] = [
  {
    id: "lock.settle-twice",
    title: "settling twice answers lockLost the second time and changes nothing",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([toQueue(queue, "once")]);
      const probe = stage.receive(transport, source);
      const delivery = await probe.next();
      assert.equal(await delivery.settle(complete), "settled");
      assert.equal(await delivery.settle({ kind: "deadLetter", failure: failure(1) }), "lockLost");
      assert.equal(await delivery.settle(complete), "lockLost");
      await probe.nothingMore();
      const dead = await transport.inspection.list({ state: "dead", address: queue, limit: 10 });
      assert.equal(dead.length, 0);
    },
  },
  {
    id: "lock.renewal",
    title: "a message that is worked on for longer than its lock stays with its receiver",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      await transport.send([toQueue(queue, "long")]);
      const probe = stage.receive(transport, source, { lockMs: renewedLockMs });
      const delivery = await probe.next();
      const rival = stage.receive(await stage.open(), source);
      await rival.nothingMore(1.5 * renewedLockMs);
      assert.equal(probe.lost.length, 0);
      assert.equal(await delivery.settle(complete), "settled");
      await rival.nothingMore();
    },
  },
  {
    id: "lock.expiry",
    title: "a message whose process stands still comes to another one, with the attempt counted",
    notFor: needsAttempts,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const silent = await stage.openSilenceable();
      const { transport: stalled } = silent;
      await transport.send([toQueue(queue, "orphan")]);
      const lockedAt = stage.now();
      await stage.receive(stalled, source, { lockMs: shortLockMs }).next();
      silent.silence();
      const rival = stage.receive(transport, source);
      const delivery = await rival.next();
      assert.equal(bodyText(delivery), "orphan");
      assert.equal(delivery.attempt, 2);
      const heldMs = transport.capabilities.lock === "lease" ? shortLockMs : 200;
      assert.ok(stage.now() - lockedAt >= heldMs - 5, "the lock held for its time");
      silent.wake();
    },
  },
  {
    id: "lock.fencing",
    title:
      "who lost the lock settles in vain: lockLost, and what was to leave with it does not leave",
    notFor: needsAtomicSettle,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const silent = await stage.openSilenceable();
      const { transport: stalled } = silent;
      await transport.send([toQueue(queue, "contested")]);
      const late = stage.receive(stalled, source, { lockMs: shortLockMs });
      const lost = await late.next();
      silent.silence();
      const rival = stage.receive(transport, source);
      const held = await rival.next();
      silent.wake();
      await late.receiver.stop();
      assert.equal(
        await lost.settle({ kind: "complete", send: [toQueue(queue, "ghost")] }),
        "lockLost",
      );
      assert.equal(await lost.settle({ kind: "release" }), "lockLost");
      assert.equal(
        await held.settle({ kind: "complete", send: [toQueue(queue, "real")] }),
        "settled",
      );
      assert.equal(bodyText(await rival.next()), "real");
      await rival.nothingMore();
    },
  },
  {
    id: "lock.lost-is-told",
    title: "a receiver that wakes up after its lock ran out is told so",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const silent = await stage.openSilenceable();
      const { transport: stalled } = silent;
      await transport.send([toQueue(queue, "contested")]);
      const late = stage.receive(stalled, source, { lockMs: shortLockMs });
      const lost = await late.next();
      silent.silence();
      const held = await stage.receive(transport, source).next();
      silent.wake();
      await stage.until("onLockLost", () => late.lost.length > 0);
      assert.deepEqual(late.lost, [lost]);
      assert.equal(await held.settle(complete), "settled");
    },
  },
  {
    id: "lock.dispose",
    title:
      "what an instance did not settle before it closed comes to another one, with the attempt counted",
    notFor: needsAttempts,
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const leaving = await stage.open();
      await transport.send([toQueue(queue, "left")]);
      const delivery = await stage.receive(leaving, source, { lockMs: 1_000 }).next();
      await leaving[Symbol.asyncDispose]();
      assert.equal(await delivery.settle(complete), "lockLost");
      const again = await stage.receive(transport, source).next();
      assert.equal(bodyText(again), "left");
      assert.equal(again.attempt, 2);
    },
  },
];
