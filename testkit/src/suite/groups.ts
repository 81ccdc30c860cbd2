import assert from "node:assert/strict";
import { type SuiteCase, needsSeek, needsStreams } from "./case.ts";
import { failure, toStream } from "./messages.ts";
import { bodyText, complete, settleAll } from "./probe.ts";
import { items, withStream } from "./streams.ts";

const keys = Array.from({ length: 24 }, (_, index) => `key-${index}`);

export const groupCases: readonly SuiteCase[] = [
  {
    id: "group.share",
    title:
      "two members of a group share the partitions, and no partition has two readers at one time",
    notFor: needsStreams,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 4);
      const probes = [
        stage.receive(transport, group(), settleAll),
        stage.receive(await stage.open(), group(), settleAll),
      ];
      await stage.until("both members to read", async () => {
        await transport.send(items(stream, 24, keys));
        return probes.every((probe) => probe.deliveries.length > 0);
      });
      const before = probes.map((probe) => probe.deliveries.length);
      const sent = items(stream, 96, keys);
      await stage.pass(50);
      await transport.send(sent);
      const all = () => probes.flatMap((probe) => probe.deliveries);
      const position = (delivery: {
        position: { partition: number; offset: number } | undefined;
      }): string => `${delivery.position?.partition}:${delivery.position?.offset}`;
      await stage.until(
        "all items",
        () => all().length >= before.reduce((sum, count) => sum + count, 0) + 96,
      );
      await stage.pass(50);
      assert.equal(new Set(all().map(position)).size, all().length, "each item once");
      for (let partition = 0; partition < 4; partition++) {
        const readers = probes
          .flatMap((probe, reader) =>
            probe.deliveries
              .slice(before[reader])
              .map((delivery) => ({ ...delivery.position, reader })),
          )
          .filter((read) => read.partition === partition)
          .toSorted((one, other) => (one.offset ?? 0) - (other.offset ?? 0))
          .map(({ reader }) => reader);
        const changes = readers.filter(
          (reader, index) => index > 0 && readers[index - 1] !== reader,
        );
        // The shares may still have moved once.
        assert.ok(changes.length <= 1, `partition ${partition} was read by both by turns`);
      }
    },
  },
  {
    id: "group.takeover",
    title: "when a member stops, the others read its partitions on, in order",
    notFor: needsStreams,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 4);
      const leaving = await stage.open();
      const first = stage.receive(leaving, group(), settleAll);
      const second = stage.receive(transport, group(), settleAll);
      await transport.send(items(stream, 48, keys));
      await stage.until("48 items", () => first.deliveries.length + second.deliveries.length >= 48);
      await first.receiver.stop();
      await leaving[Symbol.asyncDispose]();
      const left = first.deliveries.length;
      const laterKeys = keys.map((key) => `more-${key}`);
      const more = items(stream, 48, laterKeys);
      await transport.send(more);
      await stage.until(
        "the others' items",
        () => second.bodies.filter((body) => body.startsWith("more-")).length >= 48,
      );
      assert.equal(first.deliveries.length, left, "nothing comes to who stopped");
      for (const key of laterKeys) {
        const ofKey = (bodies: readonly unknown[]): readonly unknown[] =>
          bodies.filter((body) => String(body).startsWith(`${key}:`));
        assert.deepEqual(ofKey(second.bodies), ofKey(more.map(({ envelope }) => envelope.body)));
      }
    },
  },
  {
    id: "group.drain",
    title: "a partition passes on only after its last reader has settled what it holds",
    notFor: needsStreams,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 1);
      await transport.send(items(stream, 2, ["a"]));
      const first = stage.receive(transport, group(), { prefetch: 1 });
      const held = await first.next();
      await first.receiver.stop();
      const second = stage.receive(await stage.open(), group());
      await second.nothingMore();
      assert.equal(await held.settle(complete), "settled");
      assert.equal(bodyText(await second.next()), "a:1");
    },
  },
  {
    id: "group.stalled",
    title: "when a member stands still, another takes over what it held and what follows",
    notFor: needsStreams,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 1);
      const silent = await stage.openSilenceable();
      const { transport: stalled } = silent;
      await transport.send(items(stream, 3, ["a"]));
      const late = stage.receive(stalled, group(), { prefetch: 2, lockMs: 200 });
      const [lost] = await late.take(2);
      silent.silence();
      const rival = stage.receive(transport, group(), { lockMs: 200, ...settleAll });
      assert.deepEqual((await rival.take(3)).map(bodyText), ["a:0", "a:1", "a:2"]);
      silent.wake();
      assert.equal(await lost?.settle(complete), "lockLost");
      await rival.nothingMore();
    },
  },
  {
    id: "group.dead-letter",
    title: "a dead letter of a stream is a copy in its group, and the group moves on",
    notFor: needsStreams,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 1);
      await transport.send(items(stream, 3, ["a"]));
      const probe = stage.receive(transport, group(), { prefetch: 1 });
      assert.equal(
        await (await probe.next()).settle({ kind: "deadLetter", failure: failure(1) }),
        "settled",
      );
      await (await probe.next()).settle(complete);
      await (await probe.next()).settle(complete);
      const address = `${stream}@readers`;
      const [dead] = await stage.listed(transport.inspection, { state: "dead", address }, 1);
      assert.equal(dead === undefined ? "" : bodyText(dead), "a:0");
      assert.deepEqual(dead?.failure, failure(1));
      const other = stage.receive(transport, group("others"), settleAll);
      assert.deepEqual((await other.take(3)).map(bodyText), ["a:0", "a:1", "a:2"]);
    },
  },
  {
    id: "group.replay",
    title:
      "a replayed dead letter of a stream comes to its own group only, with attempt 1 and its old position",
    notFor: needsStreams,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 2);
      const other = stage.receive(transport, group("others"), settleAll);
      const probe = stage.receive(transport, group());
      await transport.send([toStream(stream, "before", "a"), toStream(stream, "poison", "a")]);
      await (await probe.next()).settle(complete);
      const poison = await probe.next();
      assert.ok(poison.position !== undefined);
      await poison.settle({ kind: "deadLetter", failure: failure(1) });
      await other.take(2);
      const address = `${stream}@readers`;
      const [dead] = await stage.listed(transport.inspection, { state: "dead", address }, 1);
      assert.equal(await transport.inspection.replay([dead?.handle ?? ""]), 1);
      const again = await probe.next();
      assert.equal(bodyText(again), "poison");
      assert.equal(again.attempt, 1);
      assert.deepEqual(again.position, poison.position);
      assert.equal(await again.settle(complete), "settled");
      await probe.nothingMore();
      await other.nothingMore();
      assert.equal(
        (await transport.inspection.list({ state: "dead", address, limit: 10 })).length,
        0,
      );
    },
  },
  {
    id: "seek.dead-letters",
    title:
      "what is set aside again after a seek stands beside its first dead letter, and each is replayed",
    notFor: needsSeek,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 1);
      const { inspection } = transport;
      await transport.send([toStream(stream, "item", "key")]);
      const probe = stage.receive(transport, group());
      for (const time of [1, 2]) {
        const delivery = await probe.next();
        assert.equal(delivery.attempt, 1);
        const reason = { ...failure(1), message: `time ${time}` };
        assert.equal(await delivery.settle({ kind: "deadLetter", failure: reason }), "settled");
        if (time === 1) await inspection.seek(stream, "readers", "start");
      }
      const address = `${stream}@readers`;
      const dead = await stage.listed(inspection, { state: "dead", address }, 2);
      assert.deepEqual(
        dead.map((message) => message.failure?.message),
        ["time 1", "time 2"],
      );
      assert.equal(await inspection.replay(dead.map(({ handle }) => handle)), 2);
      for (const delivery of await probe.take(2))
        assert.equal(await delivery.settle(complete), "settled");
      await probe.nothingMore();
    },
  },
];
