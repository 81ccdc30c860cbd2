import assert from "node:assert/strict";
import type { Owner } from "@waybill/core";
import { type SuiteCase, needsOwners, needsStreams } from "./case.ts";
import { toQueue, topology } from "./messages.ts";
import { bodyText } from "./probe.ts";

const owner = (service: string): Owner => ({
  service,
  place: `file:///${service}.ts:7:3`,
});

export const declaringCases: readonly SuiteCase[] = [
  {
    id: "declare.twice",
    title: "declaring the same again, by anybody, changes nothing",
    run: async (stage) => {
      const [queue, topic] = [stage.name("queue"), stage.name("topic")];
      const parts = topology({
        queues: [{ name: queue, owner: owner("ordering") }],
        topics: [{ name: topic }],
        subscriptions: [{ topic, name: "one", accepts: [{ type: "suite.happened" }] }],
      });
      const transport = await stage.declared(parts);
      await transport.send([toQueue(queue, "kept")]);
      await transport.declare(parts);
      const other = await stage.declared(parts);
      const delivery = await stage.receive(other, { kind: "queue", name: queue }).next();
      assert.equal(bodyText(delivery), "kept");
    },
  },
  {
    id: "declare.owned-twice",
    title: "two services cannot own one queue: OWNED_TWICE names both and their places",
    notFor: needsOwners,
    run: async (stage) => {
      const name = stage.name("queue");
      const first = await stage.declared({ queues: [{ name, owner: owner("ordering") }] });
      const second = await stage.open();
      const error = await second
        .declare(topology({ queues: [{ name, owner: owner("billing") }] }))
        .then(
          () => undefined,
          (reason: unknown) => reason as { code: string; message: string },
        );
      assert.equal(error?.code, "OWNED_TWICE");
      for (const word of [
        "ordering",
        "billing",
        "file:///ordering.ts:7:3",
        "file:///billing.ts:7:3",
        name,
      ]) {
        assert.ok(error?.message.includes(word), `the message names ${word}: ${error?.message}`);
      }
      await second.declare(topology({ queues: [{ name }] }));
      await (
        await stage.open()
      ).declare(topology({ queues: [{ name, owner: owner("ordering") }] }));
      await first.send([toQueue(name, "still works")]);
    },
  },
  {
    id: "declare.owner-gone",
    title: "a queue can be owned by another service once the first owner has closed",
    run: async (stage) => {
      const name = stage.name("queue");
      const first = await stage.declared({ queues: [{ name, owner: owner("ordering") }] });
      await first[Symbol.asyncDispose]();
      await (await stage.open()).declare(topology({ queues: [{ name, owner: owner("billing") }] }));
    },
  },
  {
    id: "declare.temporary",
    title: "a temporary queue ends with the instance that declared it, a durable one does not",
    run: async (stage) => {
      const { transport, queue } = await stage.withQueue();
      const reply = stage.name("reply");
      const caller = await stage.declared({ queues: [{ name: reply, temporary: true }] });
      await transport.send([toQueue(reply, "answer")]);
      assert.equal(
        bodyText(await stage.receive(caller, { kind: "queue", name: reply }).next()),
        "answer",
      );
      await caller[Symbol.asyncDispose]();
      await stage.until("the queue to be gone", () =>
        transport.send([toQueue(reply, "too late")]).then(
          () => false,
          (error: unknown) => (error as { code?: string }).code === "UNROUTABLE",
        ),
      );
      await transport.send([toQueue(queue, "still there")]);
      const addresses = await transport.inspection.addresses();
      assert.ok(!addresses.some(({ address }) => address === reply), "nothing of it is left");
    },
  },
  {
    id: "declare.topic-missing",
    title: "a subscription to a topic that does not exist is refused with WIRING_INVALID",
    run: async (stage) => {
      const transport = await stage.open();
      const subscriptions = [
        { topic: stage.name("nowhere"), name: "one", accepts: [{ type: "suite.happened" }] },
      ];
      await assert.rejects(transport.declare(topology({ subscriptions })), {
        code: "WIRING_INVALID",
      });
    },
  },
  {
    id: "declare.partitions",
    title: "another partition count for a stream that exists is refused with WIRING_INVALID",
    notFor: needsStreams,
    run: async (stage) => {
      const name = stage.name("stream");
      const transport = await stage.declared({ streams: [{ name, partitions: 4, retention: {} }] });
      const other = await stage.open();
      await assert.rejects(
        other.declare(topology({ streams: [{ name, partitions: 8, retention: {} }] })),
        {
          code: "WIRING_INVALID",
        },
      );
      await transport.declare(
        topology({ streams: [{ name, partitions: 4, retention: { ageMs: 60_000 } }] }),
      );
    },
  },
];
