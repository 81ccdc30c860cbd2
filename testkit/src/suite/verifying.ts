import assert from "node:assert/strict";
import type { Capabilities, Discrepancy, Topology, Transport, WaybillError } from "@waybill/core";
import type { SuiteCase } from "./case.ts";
import { toQueue, toTopic, topology } from "./messages.ts";
import { bodyText } from "./probe.ts";
import type { Stage } from "./stage.ts";

const needsVerifying = ({ verifies }: Capabilities): string | undefined =>
  verifies === undefined ? "does not say what is missing" : undefined;

/** One of everything that the transport has. */
function everything(stage: Stage, { streams, verifies }: Capabilities): Topology {
  const topic = stage.name("topic");
  return topology({
    queues: [{ name: stage.name("queue") }],
    topics: [{ name: topic }],
    subscriptions: [{ topic, name: "one", accepts: [{ type: "suite.happened" }] }],
    streams:
      streams && verifies === "everything"
        ? [{ name: stage.name("stream"), partitions: 2, retention: {} }]
        : [],
  });
}

/** What was prepared, in one place otherwise than the transport keeps it, and the address of that place. */
function otherwise(
  { queues, subscriptions, streams }: Topology,
  { keyOrder }: Capabilities,
): readonly [Partial<Topology>, string | undefined] {
  const [queue, subscription, stream] = [queues[0], subscriptions[0], streams[0]];
  if (keyOrder === "none")
    return [
      {
        subscriptions: subscriptions.map((each) => ({
          ...each,
          accepts: [{ type: "suite.other" }],
        })),
      },
      `${subscription?.topic}/${subscription?.name}`,
    ];
  // A queue with keys is there as one without.
  if (keyOrder === "partitions")
    return [{ streams: streams.map((each) => ({ ...each, partitions: 3 })) }, stream?.name];
  return [{ queues: queues.map((each) => ({ ...each, sessions: true })) }, queue?.name];
}

async function refused(transport: Transport, asked: Topology): Promise<readonly Discrepancy[]> {
  const error = await transport.declare(asked).then(
    () => assert.fail("it was taken for what is asked"),
    (reason: unknown) => reason as WaybillError,
  );
  assert.equal(error.code, "WIRING_INVALID", error.message);
  const found = error.details["discrepancies"] as readonly Discrepancy[];
  for (const { message } of found) assert.ok(error.message.includes(message), error.message);
  return found;
}

export const verifyingCases: readonly SuiteCase[] = [
  {
    id: "verify.complete",
    title:
      "who may create nothing finds what another declared, works with it, and still makes what is temporary",
    notFor: needsVerifying,
    run: async (stage) => {
      const { capabilities } = await stage.open();
      const asked = everything(stage, capabilities);
      const [queue, topic] = [stage.name("queue"), stage.name("topic")];
      await stage.prepared(asked);
      const transport = await stage.open({ mayCreate: false });
      await transport.declare(asked);
      const reply = stage.name("reply");
      await transport.declare(topology({ queues: [{ name: reply, temporary: true }] }));
      await transport.send([toQueue(queue, "command"), toQueue(reply, "answer")]);
      await transport.send([toTopic(topic, "event")]);
      const sources = [
        { kind: "queue", name: queue },
        { kind: "queue", name: reply },
        { kind: "subscription", topic, name: "one" },
      ] as const;
      for (const [index, source] of sources.entries()) {
        const delivery = await stage.receive(transport, source).next();
        assert.equal(bodyText(delivery), ["command", "answer", "event"][index]);
        assert.equal(await delivery.settle({ kind: "complete" }), "settled");
      }
    },
  },
  {
    id: "verify.missing",
    title:
      "who may create nothing is told each thing that is missing, and nothing is there afterwards",
    notFor: needsVerifying,
    run: async (stage) => {
      const transport = await stage.open({ mayCreate: false });
      const asked = everything(stage, transport.capabilities);
      for (let round = 0; round < 2; round++) {
        const found = await refused(transport, asked);
        const missing = found.map(({ address, fault }) => `${address} ${fault}`);
        const { queues, topics, subscriptions, streams } = asked;
        for (const { name } of [...queues, ...streams])
          assert.ok(missing.includes(`${name} missing`));
        for (const { name } of topics) assert.ok(missing.includes(`${name}/ missing`));
        for (const { topic, name } of subscriptions)
          assert.ok(missing.includes(`${topic}/${name} missing`));
      }
      const other = await stage.open();
      await assert.rejects(other.send([toQueue(stage.name("queue"), "x")]), { code: "UNROUTABLE" });
      await assert.rejects(other.send([toTopic(stage.name("topic"), "x")]), { code: "UNROUTABLE" });
      await stage.prepared(asked);
      await transport.declare(asked);
    },
  },
  {
    id: "verify.different",
    title: "who may create nothing is told what is there and otherwise, and it stays as it was",
    notFor: needsVerifying,
    run: async (stage) => {
      const { capabilities } = await stage.open();
      const prepared = everything(stage, capabilities);
      await stage.prepared(prepared);
      const transport = await stage.open({ mayCreate: false });
      const [asked, place] = otherwise(prepared, capabilities);
      for (let round = 0; round < 2; round++) {
        const found = await refused(transport, topology(asked));
        assert.deepEqual(
          found.map(({ address, fault }) => [address, fault]),
          [[place, "different"]],
        );
      }
    },
  },
];
