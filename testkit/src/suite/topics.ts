import assert from "node:assert/strict";
import type { Acceptance, Source, Transport } from "@waybill/core";
import { type SuiteCase, needsDeadLetters, needsDelay, needsOrder } from "./case.ts";
import { failure, numbers, toTopic, topology } from "./messages.ts";
import { bodyText, complete, settleAll } from "./probe.ts";
import type { Stage } from "./stage.ts";

const anyEvent: readonly Acceptance[] = [{ type: "suite.happened" }];

interface TopicSetting {
  readonly transport: Transport;
  readonly topic: string;
  readonly source: (name: string) => Source;
}

export async function withTopic(
  stage: Stage,
  accepts: Readonly<Record<string, readonly Acceptance[]>>,
): Promise<TopicSetting> {
  const topic = stage.name("topic");
  const subscriptions = Object.entries(accepts).map(([name, list]) => ({
    topic,
    name,
    accepts: list,
  }));
  const transport = await stage.declared({ topics: [{ name: topic }], subscriptions });
  return { transport, topic, source: (name) => ({ kind: "subscription", topic, name }) };
}

export const topicCases: readonly SuiteCase[] = [
  {
    id: "topic.fan-out",
    title: "every subscription gets its own copy of an event",
    run: async (stage) => {
      const { transport, topic, source } = await withTopic(stage, {
        billing: anyEvent,
        shipping: anyEvent,
      });
      await transport.send([toTopic(topic, "placed")]);
      assert.deepEqual(stage.unrouted(transport), []);
      for (const name of ["billing", "shipping"]) {
        const probe = stage.receive(transport, source(name));
        const delivery = await probe.next();
        assert.equal(bodyText(delivery), "placed");
        assert.equal(await delivery.settle(complete), "settled");
        await probe.nothingMore();
      }
    },
  },
  {
    id: "topic.competing",
    title: "instances of one subscription share its events, each event to one of them",
    run: async (stage) => {
      const { transport, topic, source } = await withTopic(stage, { billing: anyEvent });
      const settle = { prefetch: 3, ...settleAll };
      const probes = [
        stage.receive(transport, source("billing"), settle),
        stage.receive(await stage.open(), source("billing"), settle),
      ];
      await transport.send(numbers(60).map((body) => toTopic(topic, body)));
      await stage.until(
        "60 deliveries",
        () => probes.flatMap((probe) => probe.bodies).length >= 60,
      );
      await stage.pass(30);
      const got = probes.flatMap((probe) => probe.bodies);
      assert.deepEqual(got.toSorted(), numbers(60).toSorted());
    },
  },
  {
    id: "topic.order",
    title: "one subscriber gets the events of a topic in the order of publishing",
    notFor: needsOrder,
    run: async (stage) => {
      const { transport, topic, source } = await withTopic(stage, { billing: anyEvent });
      for (const body of numbers(50)) await transport.send([toTopic(topic, body)]);
      const probe = stage.receive(transport, source("billing"));
      assert.deepEqual((await probe.take(50)).map(bodyText), numbers(50));
    },
  },
  {
    id: "topic.types",
    title: "on a shared topic a subscription gets the types that it names and no others",
    run: async (stage) => {
      const { transport, topic, source } = await withTopic(stage, {
        both: [{ type: "suite.placed" }, { type: "suite.paid" }],
        paid: [{ type: "suite.paid" }],
      });
      await transport.send([
        toTopic(topic, "placed", { header: { type: "suite.placed" } }),
        toTopic(topic, "paid", { header: { type: "suite.paid" } }),
      ]);
      assert.deepEqual(stage.unrouted(transport), []);
      const both = await stage.receive(transport, source("both")).take(2);
      assert.deepEqual(both.map(bodyText).toSorted(), ["paid", "placed"]);
      const paid = stage.receive(transport, source("paid"));
      assert.equal(bodyText(await paid.next()), "paid");
      await paid.nothingMore();
    },
  },
  {
    id: "topic.one-retry",
    title: "a retry in one subscription does not touch the others",
    notFor: needsDelay(10),
    run: async (stage) => {
      const { transport, topic, source } = await withTopic(stage, {
        billing: anyEvent,
        shipping: anyEvent,
      });
      await transport.send([toTopic(topic, "placed")]);
      const billing = stage.receive(transport, source("billing"));
      const shipping = stage.receive(transport, source("shipping"));
      await (await shipping.next()).settle(complete);
      await (await billing.next()).settle({ kind: "retry", delayMs: 0, failure: failure(1) });
      await (await billing.next()).settle(complete);
      await shipping.nothingMore();
    },
  },
  {
    id: "topic.durable",
    title: "a subscription keeps events while no instance of its service runs",
    run: async (stage) => {
      const { transport, topic, source } = await withTopic(stage, { billing: anyEvent });
      await transport[Symbol.asyncDispose]();
      const publisher = await stage.open();
      await publisher.declare(topology({ topics: [{ name: topic }] }));
      await publisher.send(numbers(3).map((body) => toTopic(topic, body)));
      assert.deepEqual(stage.unrouted(publisher), []);
      const probe = stage.receive(await stage.open(), source("billing"));
      assert.deepEqual((await probe.take(3)).map(bodyText).toSorted(), numbers(3));
    },
  },
  {
    id: "topic.temporary",
    title: "a temporary subscription ends with the instance that declared it",
    run: async (stage) => {
      const { transport, topic } = await withTopic(stage, {});
      const visitor = await stage.open();
      await visitor.declare(
        topology({
          topics: [{ name: topic }],
          subscriptions: [{ topic, name: "visit", accepts: anyEvent, temporary: true }],
        }),
      );
      const probe = stage.receive(visitor, { kind: "subscription", topic, name: "visit" });
      await transport.send([toTopic(topic, "seen")]);
      assert.equal(bodyText(await probe.next()), "seen");
      assert.deepEqual(stage.unrouted(transport), []);
      await visitor[Symbol.asyncDispose]();
      await stage.until("the subscription to be gone", async () => {
        await transport.send([toTopic(topic, "unseen")]);
        return stage.unrouted(transport).length === 1;
      });
    },
  },
  {
    id: "topic.unrouted",
    title:
      "an event whose type nobody subscribes to is kept as a dead letter of its topic, and the publisher is told",
    notFor: needsDeadLetters,
    run: async (stage) => {
      const { transport: declaring, topic } = await withTopic(stage, { billing: anyEvent });
      const transport = await stage.open();
      const nobody = toTopic(topic, "nobody", { header: { type: "suite.unheard" } });
      await transport.send([toTopic(topic, "heard"), nobody]);
      assert.deepEqual(stage.unrouted(transport), [{ envelope: nobody.envelope, topic }]);
      assert.deepEqual(stage.unrouted(declaring), []);
      const [dead] = await stage.listed(
        declaring.inspection,
        { state: "dead", address: `${topic}/` },
        1,
      );
      assert.equal(dead?.failure?.reason, "SUBSCRIBER_MISSING");
      assert.deepEqual(dead?.envelope, nobody.envelope);
    },
  },
  {
    id: "topic.unrouted-replay",
    title: "a replayed unrouted event reaches the subscription that exists by now",
    notFor: needsDeadLetters,
    run: async (stage) => {
      const { transport, topic, source } = await withTopic(stage, {});
      await transport.send([toTopic(topic, "early")]);
      const [dead] = await stage.listed(
        transport.inspection,
        { state: "dead", address: `${topic}/` },
        1,
      );
      await transport.declare(
        topology({
          subscriptions: [{ topic, name: "late", accepts: anyEvent }],
          topics: [{ name: topic }],
        }),
      );
      assert.equal(await transport.inspection.replay([dead?.handle ?? ""]), 1);
      const probe = stage.receive(transport, source("late"));
      const delivery = await probe.next();
      assert.equal(bodyText(delivery), "early");
      assert.equal(delivery.attempt, 1);
      assert.equal(
        (await transport.inspection.list({ state: "dead", address: `${topic}/`, limit: 10 }))
          .length,
        0,
      );
      await probe.nothingMore();
    },
  },
  {
    id: "topic.unrouted-settle",
    title: "an unrouted event that leaves with a settlement is kept and told as well",
    notFor: needsDeadLetters,
    run: async (stage) => {
      const { queue, transport: sender, source } = await stage.withQueue();
      const { topic } = await withTopic(stage, {});
      const transport = await stage.open();
      const nobody = toTopic(topic, "nobody");
      await sender.send([
        { to: { kind: "queue", name: queue }, envelope: toTopic(topic, "order").envelope },
      ]);
      const delivery = await stage.receive(transport, source).next();
      assert.equal(await delivery.settle({ kind: "complete", send: [nobody] }), "settled");
      assert.deepEqual(stage.unrouted(transport), [{ envelope: nobody.envelope, topic }]);
      await stage.listed(sender.inspection, { state: "dead", address: `${topic}/` }, 1);
    },
  },
];
