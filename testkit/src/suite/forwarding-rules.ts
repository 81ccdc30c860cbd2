import assert from "node:assert/strict";
import {
  type SuiteCase,
  needsAtomicBatch,
  needsDedup,
  needsDelay,
  needsForwarding,
  needsPause,
  needsSessions,
} from "./case.ts";
import { pair } from "./forwarding.ts";
import { stateOf } from "./inspection.ts";
import { numbers, toQueue, topology } from "./messages.ts";
import { bodyText, complete, settleAll } from "./probe.ts";

/** What forwarding leaves of everything else that an address does. */
export const forwardingRuleCases: readonly SuiteCase[] = [
  {
    id: "forward.schedule",
    title: "a scheduled message waits where it was sent and is forwarded when it falls due",
    notFor: (capabilities) => needsForwarding(capabilities) ?? needsDelay(100)(capabilities),
    run: async (stage) => {
      const { transport, old, source } = await pair(stage);
      const probe = stage.receive(transport, source);
      await transport.send([toQueue(old, "later", { notBefore: stage.now() + 100 })]);
      assert.equal((await stateOf(transport.inspection, old))?.scheduled, 1);
      await probe.nothingMore(40);
      assert.equal(bodyText(await probe.next()), "later");
      assert.equal((await stateOf(transport.inspection, old))?.scheduled, 0);
    },
  },
  {
    id: "forward.expiry",
    title: "a message keeps its expiry on the way and dies of it at its target",
    notFor: needsForwarding,
    run: async (stage) => {
      const { transport, old, next } = await pair(stage);
      await transport.send([toQueue(old, "short", { notAfter: stage.now() + 50 })]);
      const dead = { state: "dead", address: next } as const;
      const [letter] = await stage.listed(transport.inspection, dead, 1);
      assert.equal(letter?.failure?.reason, "EXPIRED");
    },
  },
  {
    id: "forward.sessions",
    title: "messages of one key keep their order over both queues, and a key that is held waits",
    notFor: (capabilities) => needsForwarding(capabilities) ?? needsSessions(capabilities),
    run: async (stage) => {
      const { transport, old, source, forward } = await pair(stage, { sessions: true }, false);
      const keyed = (key: string, body: string) =>
        toQueue(old, `${key}${body}`, { header: { partitionkey: key } });
      await transport.send([keyed("a", "1"), keyed("a", "2"), keyed("b", "1"), keyed("b", "2")]);
      const holder = stage.receive(
        transport,
        { kind: "queue", name: old },
        { prefetch: 1, sessions: 1 },
      );
      const held = await holder.next();
      await holder.receiver.stop();
      await forward();
      await transport.send([keyed("a", "3"), keyed("b", "3")]);
      const probe = stage.receive(transport, source, settleAll);
      assert.deepEqual((await probe.take(3)).map(bodyText), ["b1", "b2", "b3"]);
      await probe.nothingMore();
      await held.settle(complete);
      assert.deepEqual((await probe.take(2)).map(bodyText), ["a2", "a3"]);
    },
  },
  {
    id: "forward.dedup",
    title: "the target recognises what was sent to it before, also when it comes by forwarding",
    notFor: (capabilities) => needsForwarding(capabilities) ?? needsDedup(60_000)(capabilities),
    run: async (stage) => {
      const { transport, old, next, source } = await pair(stage, { dedupWindowMs: 60_000 });
      const header = { id: "a" };
      await transport.send([toQueue(next, "first", { header })]);
      await transport.send([toQueue(old, "again", { header })]);
      await transport.send([toQueue(old, "other", { header: { id: "b" } })]);
      await transport.send([toQueue(old, "other again", { header: { id: "b" } })]);
      const probe = stage.receive(transport, source);
      assert.deepEqual((await probe.take(2)).map(bodyText), ["first", "other"]);
      await probe.nothingMore();
      assert.deepEqual(stage.duplicates(transport), ["a", "b"]);
    },
  },
  {
    id: "forward.batch",
    title: "a batch that is refused forwards nothing of it",
    notFor: (capabilities) => needsForwarding(capabilities) ?? needsAtomicBatch(capabilities),
    run: async (stage) => {
      const { transport, old, source } = await pair(stage);
      const batch = [toQueue(old, "kept back"), toQueue(stage.name("nowhere"), "lost")];
      await assert.rejects(transport.send(batch), { code: "UNROUTABLE" });
      const probe = stage.receive(transport, source);
      await transport.send([toQueue(old, "alone")]);
      assert.equal(bodyText(await probe.next()), "alone");
      await probe.nothingMore();
    },
  },
  {
    id: "forward.ends",
    title:
      "a paused queue forwards again when it is resumed; declared with false it keeps and delivers what comes; who leaves it out changes nothing",
    notFor: (capabilities) => needsForwarding(capabilities) ?? needsPause(capabilities),
    run: async (stage) => {
      const { transport, old, source } = await pair(stage);
      const probe = stage.receive(transport, source);
      const own = stage.receive(transport, { kind: "queue", name: old });
      await transport.inspection.pause(old, "a test");
      await transport.send([toQueue(old, "one")]);
      await probe.nothingMore();
      await transport.inspection.resume(old);
      assert.equal(bodyText(await probe.next()), "one");
      await transport.declare(topology({ queues: [{ name: old }] }));
      await transport.send([toQueue(old, "two")]);
      assert.equal(bodyText(await probe.next()), "two");
      await transport.declare(topology({ queues: [{ name: old, forwardTo: false }] }));
      await transport.send([toQueue(old, "three")]);
      assert.equal(bodyText(await own.next()), "three");
      await probe.nothingMore();
    },
  },
  {
    id: "forward.books",
    title: "the books of all addresses on the way balance",
    notFor: needsForwarding,
    run: async (stage) => {
      const { transport, old, next, source } = await pair(stage);
      await transport.send(numbers(5).map((body) => toQueue(old, body)));
      const probe = stage.receive(transport, source);
      for (const delivery of await probe.take(3)) await delivery.settle(complete);
      const entries = (await transport.inspection.ledger()).filter(({ address }) =>
        [old, next].includes(address),
      );
      assert.deepEqual(
        entries.map(({ accepted, completed, left, balanced }) => [
          accepted,
          completed,
          left.forwarded ?? 0,
          balanced,
        ]),
        [
          [5, 0, 5, true],
          [5, 3, 0, true],
        ],
      );
    },
  },
];
