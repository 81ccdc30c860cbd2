import assert from "node:assert/strict";
import type { QueueSpec, Transport } from "@waybill/core";
import { type SuiteCase, needsDeadLetters, needsForwarding, needsSessions } from "./case.ts";
import { stateOf } from "./inspection.ts";
import { envelope, failure, toQueue, toTopic, topology } from "./messages.ts";
import { bodyText, settleAll } from "./probe.ts";
import type { Stage } from "./stage.ts";

interface Setting {
  readonly transport: Transport;
  readonly queue: string;
  readonly letters: string;
}

async function withLetters(stage: Stage, more: Partial<QueueSpec> = {}): Promise<Setting> {
  const [queue, letters] = [stage.name("queue"), stage.name("letters")];
  const queues = [{ name: queue, forwardDeadLettersTo: letters, ...more }, { name: letters }];
  return { transport: await stage.declared({ queues }), queue, letters };
}

const notFor: SuiteCase["notFor"] = (capabilities) =>
  needsForwarding(capabilities) ?? needsDeadLetters(capabilities);

export const deadLetterForwardingCases: readonly SuiteCase[] = [
  {
    id: "forward-dead.kept",
    title:
      "dead letters of several addresses stand in one place with their failure, their attempts and where they died; a replay returns each there and follows it",
    notFor,
    run: async (stage) => {
      const { transport, queue, letters } = await withLetters(stage);
      const topic = stage.name("topic");
      const accepts = [{ type: "suite.happened" }];
      const subscription = { topic, name: "one", accepts, forwardDeadLettersTo: letters };
      await transport.declare(
        topology({ topics: [{ name: topic }], subscriptions: [subscription] }),
      );
      await transport.send([toQueue(queue, "command"), toTopic(topic, "event")]);
      const sources = [
        { kind: "queue", name: queue },
        { kind: "subscription", topic, name: "one" },
      ] as const;
      const probes = sources.map((source) => stage.receive(transport, source));
      for (const probe of probes)
        await (await probe.next()).settle({ kind: "deadLetter", failure: failure(1) });
      const dead = { state: "dead", address: letters } as const;
      const found = await stage.listed(transport.inspection, dead, 2);
      assert.deepEqual(
        found.map(({ origin, attempt, failure: why }) => [origin, attempt, why]),
        [
          [queue, 1, failure(1)],
          [`${topic}/one`, 1, failure(1)],
        ],
      );
      assert.equal((await stateOf(transport.inspection, queue))?.dead, 0);
      assert.equal((await stateOf(transport.inspection, letters))?.dead, 2);
      const handles = found.map(({ handle }) => handle);
      assert.equal(await transport.inspection.replay(handles), 2);
      for (const probe of probes) assert.equal((await probe.next()).attempt, 1);
      assert.deepEqual(await transport.inspection.follow(handles), ["waiting", "waiting"]);
      const ledger = await transport.inspection.ledger();
      assert.deepEqual(
        ledger.filter(({ balanced }) => !balanced),
        [],
      );
    },
  },
  {
    id: "forward-dead.changed",
    title:
      "a dead letter that stands elsewhere can be edited, discarded and purged, and the books balance",
    notFor,
    run: async (stage) => {
      const { transport, queue, letters } = await withLetters(stage);
      await transport.send(["a", "b", "c"].map((body) => toQueue(queue, body)));
      const probe = stage.receive(transport, { kind: "queue", name: queue });
      for (const delivery of await probe.take(3))
        await delivery.settle({ kind: "deadLetter", failure: failure(1) });
      const dead = { state: "dead", address: letters } as const;
      const [first, second] = await stage.listed(transport.inspection, dead, 3);
      const edited = envelope("edited");
      assert.equal(await transport.inspection.replace(first?.handle ?? "", edited), true);
      assert.equal(bodyText(await probe.next()), "edited");
      assert.equal(await transport.inspection.discard([second?.handle ?? ""]), 1);
      assert.equal(await transport.inspection.purge(letters, "dead"), 1);
      const ledger = await transport.inspection.ledger();
      assert.deepEqual(
        ledger.filter(({ balanced }) => !balanced),
        [],
      );
    },
  },
  {
    id: "forward-dead.parked",
    title: "a key that is parked behind a dead letter elsewhere goes on when that is replayed",
    notFor: (capabilities) => notFor(capabilities) ?? needsSessions(capabilities),
    run: async (stage) => {
      const { transport, queue, letters } = await withLetters(stage, { sessions: true });
      const keyed = (body: string) => toQueue(queue, body, { header: { partitionkey: "key" } });
      await transport.send([keyed("1"), keyed("2")]);
      const source = { kind: "queue", name: queue } as const;
      const first = stage.receive(transport, source, { prefetch: 1 });
      await (await first.next()).settle({ kind: "deadLetter", failure: failure(1), park: true });
      await first.nothingMore();
      await first.receiver.stop();
      const dead = { state: "dead", address: letters } as const;
      const [letter] = await stage.listed(transport.inspection, dead, 1);
      await transport.inspection.replay([letter?.handle ?? ""]);
      const probe = stage.receive(transport, source, settleAll);
      assert.deepEqual((await probe.take(2)).map(bodyText), ["1", "2"]);
    },
  },
  {
    id: "forward-dead.refused",
    title: "dead letters go to no queue that does not exist, is temporary, or is their own",
    notFor,
    run: async (stage) => {
      const transport = await stage.open();
      const name = stage.name("queue");
      const temporary = stage.name("temporary");
      await (
        await stage.open()
      ).declare(topology({ queues: [{ name: temporary, temporary: true }] }));
      for (const forwardDeadLettersTo of [stage.name("nowhere"), temporary, name])
        await assert.rejects(
          transport.declare(topology({ queues: [{ name, forwardDeadLettersTo }] })),
          { code: "WIRING_INVALID" },
        );
    },
  },
];
