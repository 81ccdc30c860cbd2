import assert from "node:assert/strict";
import type { Delivery, Outgoing } from "@waybill/core";
import { type SuiteCase, needsDeadLetters } from "./case.ts";
import { failure, toQueue, topology } from "./messages.ts";
import { type Probe, bodyText, complete } from "./probe.ts";
import type { QueueSetting, Stage } from "./stage.ts";

/** How far ahead a moment lies that a receiver which is there must reach in time, also on a machine with more to do. */
const aheadMs = 2_500;

/** A receiver that has proved to be there: only then the time of what it is to get in time may begin to run. */
async function ready(stage: Stage, { transport, queue, source }: QueueSetting): Promise<Probe> {
  const probe = stage.receive(transport, source);
  await transport.send([toQueue(queue, "first of all")]);
  await (await probe.next()).settle(complete);
  return probe;
}

/** Whether whoever handles it heeds no expiry: it is marked, or its header names none any more. */
const isLifted = ({ envelope: { header }, expiryLifted }: Delivery): boolean =>
  expiryLifted === true || header.expirytime === undefined;

export const expiryCases: readonly SuiteCase[] = [
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
      const setting = await stage.withQueue();
      const { transport, queue } = setting;
      const { inspection } = transport;
      const topic = stage.name("topic");
      await transport.declare(topology({ topics: [{ name: topic }] }));
      const brief = (body: string): Outgoing => {
        const notAfter = stage.now() + aheadMs;
        const header = { expirytime: new Date(notAfter).toISOString() };
        return toQueue(queue, body, { notAfter, header });
      };
      const first = await ready(stage, setting);
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
      const setting = await stage.withQueue();
      const { transport, queue } = setting;
      const probe = await ready(stage, setting);
      const notAfter = stage.now() + aheadMs;
      await transport.send([toQueue(queue, "in time", { notAfter })]);
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
      const setting = await stage.withQueue();
      const { transport, queue } = setting;
      const probe = await ready(stage, setting);
      const notAfter = stage.now() + aheadMs;
      await transport.send([toQueue(queue, "held too long", { notAfter })]);
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
