import assert from "node:assert/strict";
import type { Delivery, Settlement, StoredMessage } from "@waybill/core";
import {
  type SuiteCase,
  needsAll,
  needsDeadLetters,
  needsDelay,
  needsLists,
  needsStreams,
} from "./case.ts";
import { envelope, failure, numbers, toQueue, toStream, toTopic, topology } from "./messages.ts";
import { bodyText, complete } from "./probe.ts";
import type { Stage } from "./stage.ts";
import { withStream } from "./streams.ts";

const buried: Settlement = { kind: "deadLetter", failure: failure(1) };

/** A queue with one message in each state: held, dead, deferred, ready and scheduled, whose bodies say which. */
async function everyState(stage: Stage) {
  const { transport, queue, source } = await stage.withQueue();
  await transport.send(["held", "dead", "deferred"].map((body) => toQueue(queue, body)));
  const probe = stage.receive(transport, source, { prefetch: 3 });
  const [held, dead, deferred] = (await probe.take(3)) as [Delivery, Delivery, Delivery];
  await probe.receiver.stop();
  await dead.settle(buried);
  await deferred.settle({ kind: "defer" });
  const notBefore = stage.now() + 60_000;
  await transport.send([toQueue(queue, "ready"), toQueue(queue, "scheduled", { notBefore })]);
  return { transport, queue, source, held };
}

/** The one message of a state. */
async function only(
  stage: Stage,
  parts: Awaited<ReturnType<typeof everyState>>,
  state: StoredMessage["state"],
) {
  const { transport, queue } = parts;
  const [message] = await stage.listed(transport.inspection, { state, address: queue }, 1);
  if (message === undefined) throw new Error(`nothing is ${state}`);
  return message;
}

const removable = ["ready", "scheduled", "deferred", "dead"] as const;
const needs: SuiteCase["notFor"] = (capabilities) =>
  needsDelay(60_000)(capabilities) ?? needsDeadLetters(capabilities);

export const removingCases: readonly SuiteCase[] = [
  {
    id: "purge.states",
    title: "purging deletes what stands at an address in one state, and nothing else",
    notFor: needsAll(needs, needsLists("ready", "scheduled")),
    run: async (stage) => {
      const parts = await everyState(stage);
      const { transport, queue, held, source } = parts;
      for (const [index, state] of removable.entries()) {
        assert.equal(await transport.inspection.purge(queue, state), 1, state);
        assert.equal(await transport.inspection.purge(queue, state), 0, state);
        for (const left of removable.slice(index + 1)) await only(stage, parts, left);
        const none = { state, address: queue, limit: 10 };
        assert.deepEqual(await transport.inspection.list(none), []);
      }
      assert.equal(await held.settle(complete), "settled");
      await stage.receive(transport, source).nothingMore();
      await assert.rejects(transport.inspection.purge(stage.name("nowhere"), "ready"), {
        code: "NOT_FOUND",
      });
    },
  },
  {
    id: "purge.many",
    title: "a long queue is purged whole, and what is sent meanwhile or later is kept",
    run: async (stage) => {
      const { transport, queue, source } = await stage.withQueue();
      const other = await stage.open();
      const count = 1_234;
      await transport.send(numbers(count).map((body) => toQueue(queue, body)));
      const purged = transport.inspection.purge(queue, "ready");
      const sent = other.send([toQueue(queue, "meanwhile")]);
      const [deleted] = await Promise.all([purged, sent]);
      assert.ok(deleted === count || deleted === count + 1, `${deleted} deleted`);
      await other.send([toQueue(queue, "later")]);
      const expected = deleted === count ? ["meanwhile", "later"] : ["later"];
      const probe = stage.receive(transport, source);
      const left = (await probe.take(expected.length)).map(bodyText);
      // Where there is no order, the one that was sent first need not come first.
      if (transport.capabilities.order === "queue") assert.deepEqual(left, expected);
      else assert.deepEqual(left.toSorted(), expected.toSorted());
      await probe.nothingMore();
    },
  },
  {
    id: "discard.waiting",
    title: "ready and scheduled messages can be discarded by handle; what is in flight cannot",
    notFor: needsAll(needs, needsLists("ready", "scheduled", "inFlight")),
    run: async (stage) => {
      const parts = await everyState(stage);
      const { transport, held, source } = parts;
      const { handle } = await only(stage, parts, "inFlight");
      assert.equal(await transport.inspection.discard([handle]), 0);
      for (const state of removable) {
        const message = await only(stage, parts, state);
        assert.equal(await transport.inspection.discard([message.handle]), 1, state);
        assert.equal(await transport.inspection.discard([message.handle]), 0, state);
      }
      assert.equal(await held.settle({ kind: "release" }), "settled");
      const probe = stage.receive(transport, source);
      assert.equal(bodyText(await probe.next()), "held");
      await probe.nothingMore();
    },
  },
  {
    id: "replace.aside",
    title: "a dead or deferred message can be replaced by another, which is new, once",
    notFor: needs,
    run: async (stage) => {
      const parts = await everyState(stage);
      const { transport, queue, source, held } = parts;
      await transport.inspection.purge(queue, "ready");
      const probe = stage.receive(transport, source);
      for (const state of ["dead", "deferred"] as const) {
        const { handle } = await only(stage, parts, state);
        const edited = envelope(`was ${state}`, { replacesid: "old" });
        assert.equal(await transport.inspection.replace(handle, edited), true);
        assert.equal(await transport.inspection.replace(handle, edited), false);
        const delivery = await probe.next();
        assert.deepEqual(delivery.envelope, edited);
        assert.deepEqual([delivery.attempt, delivery.failure], [1, undefined]);
        assert.equal(await delivery.settle(complete), "settled");
        const left = { state, address: queue, limit: 10 };
        assert.deepEqual(await transport.inspection.list(left), []);
      }
      assert.equal(await transport.inspection.replace("no such handle", envelope("x")), false);
      assert.equal(await held.settle(complete), "settled");
      await probe.nothingMore();
    },
  },
  {
    id: "replace.topic",
    title:
      "an event that nobody subscribed to is replaced when somebody does, and stays until then",
    notFor: needsDeadLetters,
    run: async (stage) => {
      const topic = stage.name("topic");
      const topics = [{ name: topic }];
      const transport = await stage.declared({ topics });
      await transport.send([toTopic(topic, "kept")]);
      const query = { state: "dead", address: `${topic}/` } as const;
      const [kept] = await stage.listed(transport.inspection, query, 1);
      const handle = kept?.handle ?? "";
      assert.equal(await transport.inspection.replace(handle, envelope("edited")), false);
      assert.equal((await transport.inspection.list({ ...query, limit: 5 })).length, 1);
      const accepts = [{ type: "suite.happened" }];
      await transport.declare(
        topology({ topics, subscriptions: [{ topic, name: "late", accepts }] }),
      );
      assert.equal(await transport.inspection.replace(handle, envelope("edited")), true);
      const probe = stage.receive(transport, { kind: "subscription", topic, name: "late" });
      assert.equal(bodyText(await probe.next()), "edited");
      await probe.nothingMore();
      assert.deepEqual(await transport.inspection.list({ ...query, limit: 5 }), []);
    },
  },
  {
    id: "replace.stream",
    title: "a dead letter of a stream is replaced at its position; its items cannot be purged",
    notFor: (capabilities) => needsStreams(capabilities) ?? needsDeadLetters(capabilities),
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 1);
      await transport.send(["first", "second"].map((body) => toStream(stream, body, "key")));
      const probe = stage.receive(transport, group());
      const [first, second] = await probe.take(2);
      await first?.settle(buried);
      await second?.settle(complete);
      const address = `${stream}@readers`;
      const [dead] = await stage.listed(transport.inspection, { state: "dead", address }, 1);
      const edited = envelope("edited", { partitionkey: "key" });
      assert.equal(await transport.inspection.replace(dead?.handle ?? "", edited), true);
      const again = await probe.next();
      assert.deepEqual([bodyText(again), again.position], ["edited", first?.position]);
      await again.settle(complete);
      await assert.rejects(transport.inspection.purge(address, "ready"), { code: "NOT_SUPPORTED" });
      assert.equal(await transport.inspection.purge(address, "dead"), 0);
    },
  },
];
