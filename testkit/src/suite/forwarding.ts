import assert from "node:assert/strict";
import type { QueueSpec, Source, Topology, Transport } from "@waybill/core";
import { type SuiteCase, needsForwarding } from "./case.ts";
import { stateOf } from "./inspection.ts";
import { failure, numbers, toQueue, toTopic, topology } from "./messages.ts";
import { bodyText } from "./probe.ts";
import type { Stage } from "./stage.ts";

const type = "suite.happened";

export interface Pair {
  readonly transport: Transport;
  readonly old: string;
  readonly next: string;
  readonly source: Source;
}

/** Two queues, of which the first forwards to the second from the beginning, or later by `forward`. */
export async function pair(
  stage: Stage,
  more: Partial<QueueSpec> = {},
  forwards = true,
): Promise<Pair & { readonly forward: () => Promise<void> }> {
  const [old, next] = [stage.name("old"), stage.name("next")];
  const forwardTo = { kind: "queue", name: next } as const;
  const queues = [
    { name: old, ...more },
    { name: next, ...more },
  ];
  const transport = await stage.declared({ queues });
  const forward = async (): Promise<void> =>
    (await stage.open()).declare(topology({ queues: [{ name: old, forwardTo }] }));
  if (forwards) await forward();
  return { transport, old, next, source: { kind: "queue", name: next }, forward };
}

export const forwardingCases: readonly SuiteCase[] = [
  {
    id: "forward.queue",
    title:
      "what is sent to a queue that forwards comes to its target, header and body as they were, in the order of sending; the queue itself delivers nothing",
    notFor: needsForwarding,
    run: async (stage) => {
      const { transport, old, source } = await pair(stage);
      const own = stage.receive(transport, { kind: "queue", name: old });
      const sent = numbers(20).map((body) =>
        toQueue(old, body, { header: { subject: "s", attributes: { n: 1 } } }),
      );
      await transport.send(sent);
      assert.equal((await stateOf(transport.inspection, old))?.ready, 0, "in the same step");
      const taken = await stage.receive(transport, source).take(20);
      assert.deepEqual(
        taken.map(({ envelope }) => envelope),
        sent.map(({ envelope }) => envelope),
      );
      assert.deepEqual(new Set(taken.map(({ attempt }) => attempt)), new Set([1]));
      await own.nothingMore();
      const settings = await transport.inspection.settings();
      const { forwardsTo } = settings.find(({ address }) => address === old) ?? {};
      assert.deepEqual(forwardsTo, { kind: "queue", name: source.name });
    },
  },
  {
    id: "forward.waiting",
    title:
      "what waited before goes on in its order and before what comes later; also what is given back later",
    notFor: needsForwarding,
    run: async (stage) => {
      const { transport, old, source, forward } = await pair(stage, {}, false);
      const holder = stage.receive(transport, { kind: "queue", name: old }, { prefetch: 1 });
      await transport.send(numbers(1_200).map((body) => toQueue(old, body)));
      const held = await holder.next();
      await holder.receiver.stop();
      await forward();
      await transport.send([toQueue(old, "later")]);
      const probe = stage.receive(transport, source, { prefetch: 2_000 });
      const expected = [...numbers(1_200).slice(1), "later"];
      assert.deepEqual((await probe.take(1_200)).map(bodyText), expected);
      await held.settle({ kind: "retry", delayMs: 0, failure: failure(1) });
      const again = await probe.next();
      assert.equal(bodyText(again), "0");
      assert.equal(again.attempt, 1, "attempts begin anew");
      await probe.nothingMore();
    },
  },
  {
    id: "forward.fan-out",
    title:
      "a subscription forwards its copies only, by its rule and with what that sets, to a queue and through a topic; nobody there is told",
    notFor: needsForwarding,
    run: async (stage) => {
      const [topic, inner, queue] = ["topic", "inner", "queue"].map((word) => stage.name(word));
      assert.ok(topic !== undefined && inner !== undefined && queue !== undefined);
      const transport = await stage.declared({
        queues: [{ name: queue }],
        topics: [{ name: topic }, { name: inner }],
        subscriptions: [
          { topic, name: "plain", accepts: [{ type }] },
          {
            topic,
            name: "forwards",
            accepts: [{ type, where: { total: { gt: 10 } }, set: { tier: "gold" } }],
            forwardTo: { kind: "topic", name: inner },
          },
          {
            topic: inner,
            name: "on",
            accepts: [{ type, where: { tier: "gold" } }],
            forwardTo: { kind: "queue", name: queue },
          },
          { topic: inner, name: "keeps", accepts: [{ type }] },
        ],
      });
      for (const total of [5, 50])
        await transport.send([toTopic(topic, `${total}`, { header: { attributes: { total } } })]);
      const probe = stage.receive(transport, { kind: "queue", name: queue });
      const got = await probe.next();
      assert.equal(bodyText(got), "50");
      assert.deepEqual(got.envelope.header.attributes, { total: 50, tier: "gold" });
      await probe.nothingMore();
      const keeps = stage.receive(transport, { kind: "subscription", topic: inner, name: "keeps" });
      assert.equal(bodyText(await keeps.next()), "50");
      const plain = stage.receive(transport, { kind: "subscription", topic, name: "plain" });
      assert.deepEqual((await plain.take(2)).map(bodyText), ["5", "50"]);
      await transport.send([toTopic(topic, "x", { header: { type: "suite.unknown" } })]);
      assert.equal(stage.unrouted(transport).length, 1);
    },
  },
  {
    id: "forward.hops",
    title:
      "after the most hops there may be a message becomes a dead letter where it stands, with the reason; a replay takes it on from there",
    notFor: needsForwarding,
    run: async (stage) => {
      const transport = await stage.open();
      const { forwardHopsMax } = transport.capabilities;
      const names = numbers(forwardHopsMax + 2).map((number) => stage.name(`hop-${number}`));
      const queues = names.map((name, index): QueueSpec => {
        const target = names[index + 1];
        return target === undefined
          ? { name }
          : { name, forwardTo: { kind: "queue", name: target } };
      });
      await transport.declare(topology({ queues }));
      const [first = "", second = ""] = names;
      await transport.send([toQueue(first, "too far"), toQueue(second, "far")]);
      const last = stage.receive(transport, { kind: "queue", name: names.at(-1) ?? "" });
      assert.equal(bodyText(await last.next()), "far");
      const stopped = names.at(-2) ?? "";
      const [letter] = await stage.listed(transport.inspection, { state: "dead" }, 1);
      assert.equal(letter?.address, stopped);
      assert.equal(letter.failure?.reason, "UNROUTABLE");
      assert.match(letter.failure.message, new RegExp(`forwarded ${forwardHopsMax} times`));
      assert.equal(await transport.inspection.replay([letter.handle]), 1);
      assert.equal(bodyText(await last.next()), "too far");
    },
  },
  {
    id: "forward.circle",
    title:
      "a circle is refused with WIRING_INVALID, through topics and other processes too; so is a target that does not exist",
    notFor: needsForwarding,
    run: async (stage) => {
      const [one, two, topic] = [stage.name("one"), stage.name("two"), stage.name("topic")];
      const queue = (name: string) => ({ kind: "queue", name }) as const;
      const transport = await stage.declared({
        queues: [{ name: one, forwardTo: { kind: "topic", name: topic } }, { name: two }],
        topics: [{ name: topic }],
        subscriptions: [{ topic, name: "on", accepts: [{ type }], forwardTo: queue(two) }],
      });
      const other = await stage.open();
      const refused: readonly Partial<Topology>[] = [
        { queues: [{ name: two, forwardTo: queue(one) }] },
        { queues: [{ name: two, forwardTo: queue(two) }] },
        { subscriptions: [{ topic, name: "b", accepts: [{ type }], forwardTo: queue(one) }] },
        { queues: [{ name: two, forwardTo: queue(stage.name("nowhere")) }] },
        { queues: [{ name: two, forwardTo: { kind: "topic", name: two } }] },
      ];
      for (const parts of refused)
        await assert.rejects(other.declare(topology(parts)), { code: "WIRING_INVALID" });
      await transport.send([toQueue(one, "goes on")]);
      const probe = stage.receive(transport, { kind: "queue", name: two });
      assert.equal(bodyText(await probe.next()), "goes on");
    },
  },
];
