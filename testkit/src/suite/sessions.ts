import assert from "node:assert/strict";
import type { Delivery, Outgoing } from "@waybill/core";
import { type SuiteCase, needsKeyOrder, needsSessions } from "./case.ts";
import { topology, toQueue, toTopic } from "./messages.ts";
import { bodyText, complete, release, settleAll } from "./probe.ts";
import { keyed, retryFailure, sessionQueue } from "./session-stage.ts";

/** Keys "k0" to "k9", `each` messages of every key, the keys mixed. */
function manyOf(queue: string, each: number): Outgoing[] {
  return Array.from({ length: each * 10 }, (_, index) =>
    toQueue(queue, `k${index % 10}.${Math.floor(index / 10)}`, {
      header: { partitionkey: `k${index % 10}` },
    }),
  );
}

/** Settles by and by, and notes when one key is in two places or out of order. */
function watchOrder(): {
  readonly faults: string[];
  readonly done: Map<string, number>;
  readonly onDelivery: (receiver: string) => (delivery: Delivery) => void;
} {
  const faults: string[] = [];
  const done = new Map<string, number>();
  const holders = new Map<string, { receiver: string; count: number }>();
  const onDelivery = (receiver: string) => (delivery: Delivery) => {
    const [key = "", number = ""] = bodyText(delivery).split(".");
    const holder = holders.get(key) ?? { receiver, count: 0 };
    holders.set(key, holder);
    if (holder.count > 0 && holder.receiver !== receiver) faults.push(`${key} has two receivers`);
    if (Number(number) !== (done.get(key) ?? 0) + holder.count)
      faults.push(`${key}.${number} came out of order`);
    holder.receiver = receiver;
    holder.count += 1;
    queueMicrotask(() => {
      // Counted before the settlement: once it is stored, another receiver may have the session at once.
      holder.count -= 1;
      done.set(key, (done.get(key) ?? 0) + 1);
      void delivery.settle(complete);
    });
  };
  return { faults, done, onDelivery };
}

export const sessionCases: readonly SuiteCase[] = [
  {
    id: "session.order",
    title: "competing receivers get the messages of each session in order, one receiver at a time",
    notFor: needsKeyOrder,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      const other = await stage.open();
      const each = 20;
      await transport.send(manyOf(queue, each));
      const { faults, done, onDelivery } = watchOrder();
      const options = { prefetch: 8, sessions: 3 };
      stage.receive(transport, source, { ...options, onDelivery: onDelivery("one") });
      stage.receive(other, source, { ...options, onDelivery: onDelivery("other") });
      await stage.until("all are handled", () =>
        ["k0", "k3", "k9"].every((key) => done.get(key) === each),
      );
      await stage.until("all sessions are handled", () =>
        [...done.values()].every((count) => count === each),
      );
      assert.equal(done.size, 10);
      assert.deepEqual(faults, []);
    },
  },
  {
    id: "session.exclusive",
    title: "while a receiver holds a message of a session, nobody else gets one of it",
    notFor: needsSessions,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      await transport.send(keyed(queue, "a1"));
      const holder = stage.receive(transport, source);
      const held = await holder.next();
      assert.equal(held.session?.id, "a");
      const rival = stage.receive(await stage.open(), source);
      await transport.send(keyed(queue, "a2"));
      await rival.nothingMore(150);
      await holder.receiver.stop();
      assert.equal(await held.settle(complete), "settled");
      assert.equal(bodyText(await rival.next()), "a2");
    },
  },
  {
    id: "session.handover",
    title: "who stops keeps what stands behind from others until it has settled what it was given",
    notFor: needsKeyOrder,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      await transport.send(keyed(queue, "a1", "a2", "a3"));
      const first = stage.receive(transport, source, { prefetch: 2, sessions: 1 });
      const [a1, a2] = await first.take(2);
      const rival = stage.receive(await stage.open(), source, settleAll);
      await first.receiver.stop();
      await transport.send(keyed(queue, "a4"));
      await rival.nothingMore(150);
      assert.equal(await a1?.settle(complete), "settled");
      await rival.nothingMore(50);
      assert.equal(await a2?.settle(release), "settled");
      await rival.take(3);
      assert.deepEqual(rival.bodies, ["a2", "a3", "a4"]);
    },
  },
  {
    id: "session.next",
    title: "a receiver holds as many sessions as it asked for; others get the next available ones",
    notFor: needsSessions,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      await transport.send(keyed(queue, "a1", "a2", "b1", "b2", "c1", "c2"));
      const first = stage.receive(transport, source, { sessions: 1 });
      const [a1, a2] = await first.take(2);
      const second = stage.receive(await stage.open(), source, { sessions: 1 });
      const [b1] = await second.take(2);
      assert.deepEqual(first.bodies, ["a1", "a2"]);
      assert.deepEqual(second.bodies, ["b1", "b2"]);
      await second.nothingMore();
      await a1?.settle(complete);
      await first.nothingMore();
      await a2?.settle(complete);
      assert.equal(bodyText(await first.next()), "c1");
      assert.equal(await b1?.settle(complete), "settled");
    },
  },
  {
    id: "session.fair",
    title: "a session in which much waits does not keep the others waiting",
    notFor: needsSessions,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      const long = Array.from({ length: 50 }, (_, index) => `long${index}`);
      await transport.send(keyed(queue, ...long, "b1", "c1"));
      const probe = stage.receive(transport, source, { sessions: 1, prefetch: 5, ...settleAll });
      await probe.take(52);
      assert.ok(probe.bodies.indexOf("b1") <= 10, probe.bodies.join(" "));
      assert.ok(probe.bodies.indexOf("c1") <= 11, probe.bodies.join(" "));
      assert.deepEqual(
        probe.bodies.filter((body) => body.startsWith("long")),
        long,
      );
    },
  },
  {
    id: "session.beside",
    title: "messages without a key stand beside the sessions, without a session of their own",
    notFor: needsSessions,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      const busy = stage.receive(transport, source, { sessions: 1 });
      await transport.send(keyed(queue, "a1", "a2"));
      await busy.take(2);
      await transport.send([toQueue(queue, "plain1"), toQueue(queue, "plain2")]);
      const [first, second] = await busy.take(2);
      assert.deepEqual(busy.bodies.slice(2), ["plain1", "plain2"]);
      assert.equal(first?.session, undefined);
      await first?.settle({ kind: "retry", delayMs: 0, failure: retryFailure });
      assert.equal(await second?.settle(complete), "settled");
      assert.equal(bodyText(await busy.next()), "plain1");
    },
  },
  {
    id: "session.topic",
    title: "each subscription keeps sessions of its own, and only where it was declared with them",
    notFor: needsSessions,
    run: async (stage) => {
      const topic = stage.name("topic");
      const accepts = [{ type: "suite.happened" }];
      const transport = await stage.declared({
        topics: [{ name: topic }],
        subscriptions: [
          { topic, name: "ordered", accepts, sessions: true },
          { topic, name: "loose", accepts },
        ],
      });
      const header = { partitionkey: "a" };
      await transport.send(["1", "2"].map((body) => toTopic(topic, body, { header })));
      const ordered = { kind: "subscription", topic, name: "ordered" } as const;
      const loose = { kind: "subscription", topic, name: "loose" } as const;
      const probe = stage.receive(transport, ordered, { prefetch: 1 });
      assert.equal((await probe.next()).session?.id, "a");
      await stage.receive(await stage.open(), ordered).nothingMore();
      const [one, two] = [
        stage.receive(transport, loose, { prefetch: 1 }),
        stage.receive(await stage.open(), loose, { prefetch: 1 }),
      ];
      assert.equal((await one.next()).session, undefined);
      await two.take(1);
    },
  },
  {
    id: "session.takeover",
    title:
      "when a holder stands still, the next receiver gets its session in order, attempts counted, and the late holder is fenced",
    notFor: needsKeyOrder,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      const silent = await stage.openSilenceable();
      const { transport: stalled } = silent;
      await stalled.declare(topology({ queues: [{ name: queue, sessions: true }] }));
      await transport.send(keyed(queue, "a1", "a2"));
      const late = stage.receive(stalled, source, { lockMs: 300, sessions: 1 });
      const [lost] = await late.take(2);
      await late.receiver.stop();
      await transport.send(keyed(queue, "a3"));
      silent.silence();
      const next = stage.receive(transport, source, { sessions: 1 });
      const taken = await next.take(3);
      assert.deepEqual(taken.map(bodyText), ["a1", "a2", "a3"]);
      const [first, second, third] = taken.map(({ attempt }) => attempt);
      assert.deepEqual([first, second], [2, 2]);
      // Where a receiver is given the whole queue, it may have been on its way there.
      if (transport.capabilities.keyOrder === "sessions") assert.equal(third, 1);
      silent.wake();
      assert.equal(await lost?.settle(complete), "lockLost");
      for (const delivery of taken) assert.equal(await delivery.settle(complete), "settled");
    },
  },
  {
    id: "session.sticky",
    title: "a queue keeps its sessions when somebody declares it again without saying so",
    notFor: needsKeyOrder,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      const other = await stage.declared({ queues: [{ name: queue }] });
      await other.send(keyed(queue, "a1", "a2"));
      await stage.receive(transport, source, { prefetch: 1 }).next();
      await stage.receive(other, source).nothingMore();
    },
  },
  {
    id: "session.release",
    title:
      "what is released comes back at its place, uncounted, and nothing of its session before it",
    notFor: needsSessions,
    run: async (stage) => {
      const { transport, queue, source } = await sessionQueue(stage);
      await transport.send(keyed(queue, "a1", "a2", "a3"));
      const first = stage.receive(transport, source, { sessions: 1 });
      const [a1, a2, a3] = await first.take(3);
      await first.receiver.stop();
      await a1?.settle(complete);
      assert.equal(await a2?.settle(release), "settled");
      assert.equal(await a3?.settle(complete), "lockLost");
      assert.deepEqual(first.lost.map(bodyText), ["a3"]);
      const next = stage.receive(transport, source, settleAll);
      const taken = await next.take(2);
      assert.deepEqual(next.bodies, ["a2", "a3"]);
      assert.deepEqual(
        taken.map(({ attempt }) => attempt),
        [1, 1],
      );
    },
  },
];
