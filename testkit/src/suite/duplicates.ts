import assert from "node:assert/strict";
import type { Dedup, Source, Transport } from "@waybill/core";
import { type SuiteCase, needsAtomicSettle, needsDedup } from "./case.ts";
import { toQueue, toTopic, topology } from "./messages.ts";
import { bodyText, settleAll } from "./probe.ts";
import type { Stage } from "./stage.ts";

const windowMs = 60_000;
const notFor = needsDedup(windowMs);

interface Remembering {
  readonly transport: Transport;
  readonly queue: string;
  readonly source: Source;
}

async function remembering(stage: Stage, dedup: Dedup, word = "queue"): Promise<Remembering> {
  const queue = stage.name(word);
  const transport = await stage.declared({ queues: [{ name: queue, ...dedup }] });
  return { transport, queue, source: { kind: "queue", name: queue } };
}

/** A message whose body tells apart what its id does not. */
function twin(queue: string, id: string, body: string) {
  return toQueue(queue, body, { header: { id } });
}

export const duplicateCases: readonly SuiteCase[] = [
  {
    id: "dedup.window",
    title: "a second message with the same id is accepted and not stored, handled or not",
    notFor,
    run: async (stage) => {
      const { transport, queue, source } = await remembering(stage, { dedupWindowMs: windowMs });
      const probe = stage.receive(transport, source, settleAll);
      await transport.send([twin(queue, "a", "first")]);
      await transport.send([twin(queue, "a", "while it waits")]);
      await probe.take(1);
      await transport.send([twin(queue, "a", "after it was handled"), twin(queue, "b", "other")]);
      assert.equal(bodyText(await probe.next()), "other");
      await probe.nothingMore();
      assert.deepEqual(probe.bodies, ["first", "other"]);
      assert.deepEqual(stage.duplicates(transport), ["a", "a"]);
    },
  },
  {
    id: "dedup.batch",
    title: "duplicates inside one batch are stored once",
    notFor,
    run: async (stage) => {
      const { transport, queue, source } = await remembering(stage, { dedupWindowMs: windowMs });
      const ids = ["a", "b", "a", "c", "b", "a"];
      await transport.send(ids.map((id, index) => twin(queue, id, `${id}${index}`)));
      const probe = stage.receive(transport, source);
      assert.deepEqual((await probe.take(3)).map(bodyText), ["a0", "b1", "c3"]);
      await probe.nothingMore();
      assert.deepEqual(stage.duplicates(transport), ["a", "b", "a"]);
    },
  },
  {
    id: "dedup.end",
    title: "after the window the same id is a new message",
    notFor,
    run: async (stage) => {
      const { transport, queue, source } = await remembering(stage, { dedupWindowMs: 100 });
      const probe = stage.receive(transport, source, settleAll);
      for (const body of ["one", "two", "three"]) {
        await transport.send([twin(queue, "a", body)]);
        await stage.pass(150);
      }
      assert.deepEqual((await probe.take(3)).map(bodyText), ["one", "two", "three"]);
      assert.deepEqual(stage.duplicates(transport), []);
    },
  },
  {
    id: "dedup.processes",
    title: "duplicates are recognised across connections, and after the sender is gone",
    notFor,
    run: async (stage) => {
      const { transport, queue, source } = await remembering(stage, { dedupWindowMs: windowMs });
      const other = await stage.open();
      await transport.send([twin(queue, "a", "first")]);
      await other.send([twin(queue, "a", "elsewhere")]);
      await transport[Symbol.asyncDispose]();
      await other[Symbol.asyncDispose]();
      const again = await stage.open();
      await again.send([twin(queue, "a", "after a restart"), twin(queue, "b", "other")]);
      const probe = stage.receive(again, source);
      assert.deepEqual((await probe.take(2)).map(bodyText), ["first", "other"]);
      await probe.nothingMore();
      assert.deepEqual(stage.duplicates(again), ["a"]);
    },
  },
  {
    id: "dedup.apart",
    title:
      "destinations, types and dedupids are told apart; without a window nothing is remembered",
    notFor,
    run: async (stage) => {
      const { transport, queue, source } = await remembering(stage, { dedupWindowMs: windowMs });
      const [second, plain] = [stage.name("second"), stage.name("plain")];
      const queues = [{ name: second, dedupWindowMs: windowMs }, { name: plain }];
      await transport.declare(topology({ queues }));
      const toPlain = [twin(plain, "a", "plain"), twin(plain, "a", "plain again")];
      await transport.send([twin(queue, "a", "first"), twin(second, "a", "second"), ...toPlain]);
      await transport.send([
        toQueue(queue, "other type", { header: { id: "a", type: "suite.other" } }),
        toQueue(queue, "by dedupid", { header: { id: "c", dedupid: "k" } }),
        toQueue(queue, "by dedupid again", { header: { id: "d", dedupid: "k" } }),
      ]);
      const probe = stage.receive(transport, source);
      const bodies = (await probe.take(3)).map(bodyText);
      assert.deepEqual(bodies, ["first", "other type", "by dedupid"]);
      await stage.receive(transport, { kind: "queue", name: second }).take(1);
      await stage.receive(transport, { kind: "queue", name: plain }).take(2);
      assert.deepEqual(stage.duplicates(transport), ["d"]);
    },
  },
  {
    id: "dedup.topic",
    title: "an event that is published twice reaches each subscription once",
    notFor,
    run: async (stage) => {
      const topic = stage.name("topic");
      const accepts = [{ type: "suite.happened" }];
      const transport = await stage.declared({
        topics: [{ name: topic, dedupWindowMs: windowMs }],
        subscriptions: [
          { topic, name: "one", accepts },
          { topic, name: "two", accepts },
        ],
      });
      for (const body of ["first", "again"])
        await transport.send([toTopic(topic, body, { header: { id: "a" } })]);
      for (const name of ["one", "two"]) {
        const probe = stage.receive(transport, { kind: "subscription", topic, name });
        assert.equal(bodyText(await probe.next()), "first");
        await probe.nothingMore();
      }
      assert.deepEqual(stage.duplicates(transport), ["a"]);
    },
  },
  {
    id: "dedup.replay",
    title: "an event that nobody subscribed to is no duplicate of itself when it is replayed",
    notFor,
    run: async (stage) => {
      const topic = stage.name("topic");
      const topics = [{ name: topic, dedupWindowMs: windowMs }];
      const transport = await stage.declared({ topics });
      await transport.send([toTopic(topic, "kept")]);
      const parked = { state: "dead", address: `${topic}/` } as const;
      const [kept] = await stage.listed(transport.inspection, parked, 1);
      const accepts = [{ type: "suite.happened" }];
      const subscriptions = [{ topic, name: "late", accepts }];
      await transport.declare(topology({ topics, subscriptions }));
      assert.equal(await transport.inspection.replay([kept?.handle ?? ""]), 1);
      const probe = stage.receive(transport, { kind: "subscription", topic, name: "late" });
      assert.equal(bodyText(await probe.next()), "kept");
    },
  },
  {
    id: "dedup.settle",
    title: "what leaves with a completed message is recognised too",
    notFor: (capabilities) => notFor(capabilities) ?? needsAtomicSettle(capabilities),
    run: async (stage) => {
      const { transport, queue, source } = await remembering(stage, { dedupWindowMs: windowMs });
      const target = stage.name("target");
      await transport.declare(topology({ queues: [{ name: target, dedupWindowMs: windowMs }] }));
      await transport.send([twin(queue, "one", "1"), twin(queue, "two", "2")]);
      const probe = stage.receive(transport, source);
      for (const delivery of await probe.take(2)) {
        const send = [twin(target, "effect", `of ${bodyText(delivery)}`)];
        assert.equal(await delivery.settle({ kind: "complete", send }), "settled");
      }
      const effects = stage.receive(transport, { kind: "queue", name: target });
      assert.equal(bodyText(await effects.next()), "of 1");
      await effects.nothingMore();
      assert.deepEqual(stage.duplicates(transport), ["effect"]);
    },
  },
  {
    id: "dedup.redeclare",
    title: "who declares a queue without a window leaves it as it is; a window of 0 ends it",
    notFor,
    run: async (stage) => {
      const { transport, queue, source } = await remembering(stage, { dedupWindowMs: windowMs });
      const probe = stage.receive(transport, source);
      await transport.send([twin(queue, "a", "first")]);
      await (await stage.declared({ queues: [{ name: queue }] })).send([twin(queue, "a", "again")]);
      await transport.declare(topology({ queues: [{ name: queue, dedupWindowMs: 0 }] }));
      await transport.send([twin(queue, "a", "third")]);
      assert.deepEqual((await probe.take(2)).map(bodyText), ["first", "third"]);
      await probe.nothingMore();
    },
  },
];
