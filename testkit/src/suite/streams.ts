import assert from "node:assert/strict";
import type { Outgoing, Source, Transport } from "@waybill/core";
import { type SuiteCase, needsStreams } from "./case.ts";
import { numbers, toStream } from "./messages.ts";
import { bodyText, complete, release, settleAll } from "./probe.ts";
import type { Stage } from "./stage.ts";

export interface StreamSetting {
  readonly transport: Transport;
  readonly stream: string;
  readonly group: (name?: string) => Source;
}

export async function withStream(stage: Stage, partitions: number): Promise<StreamSetting> {
  const stream = stage.name("stream");
  const transport = await stage.declared({
    streams: [{ name: stream, partitions, retention: {} }],
  });
  return {
    transport,
    stream,
    group: (group = "readers") => ({ kind: "stream", name: stream, group }),
  };
}

/** `count` items, their keys in turn: the body is `key:number`. */
export function items(stream: string, count: number, keys: readonly string[]): readonly Outgoing[] {
  return numbers(count).map((body, index) => {
    const key = keys[index % keys.length] ?? "key";
    return toStream(stream, `${key}:${body}`, key);
  });
}

const keys = ["a", "b", "c", "d", "e"];

export const streamCases: readonly SuiteCase[] = [
  {
    id: "stream.order",
    title: "items of one key come in the order of appending, all items once",
    notFor: needsStreams,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 3);
      const sent = items(stream, 200, keys);
      for (let from = 0; from < 200; from += 40) await transport.send(sent.slice(from, from + 40));
      const probe = stage.receive(transport, group(), { prefetch: 16, ...settleAll });
      await probe.take(200);
      for (const key of keys) {
        const expected = sent
          .map((outgoing) => outgoing.envelope.body)
          .filter((body) => String(body).startsWith(`${key}:`));
        assert.deepEqual(
          probe.bodies.filter((body) => body.startsWith(`${key}:`)),
          expected,
        );
      }
      await probe.nothingMore();
    },
  },
  {
    id: "stream.positions",
    title: "a key keeps its partition, and offsets rise in each partition",
    notFor: needsStreams,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 4);
      await transport.send(items(stream, 100, keys));
      const probe = stage.receive(transport, group());
      const taken = await probe.take(100);
      const partitions = new Map<string, number>();
      const offsets = new Map<number, number>();
      for (const delivery of taken) {
        const { partition, offset } = delivery.position ?? { partition: -1, offset: -1 };
        const key = delivery.envelope.header.partitionkey ?? "";
        assert.ok(partition >= 0 && partition < 4);
        assert.equal(partitions.get(key) ?? partition, partition);
        assert.ok(offset > (offsets.get(partition) ?? -1), "offsets rise");
        partitions.set(key, partition);
        offsets.set(partition, offset);
      }
    },
  },
  {
    id: "stream.groups",
    title: "groups read independently, each from the beginning by default",
    notFor: needsStreams,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 2);
      await transport.send(items(stream, 20, keys));
      for (const name of ["audit", "billing"]) {
        const probe = stage.receive(transport, group(name), settleAll);
        assert.equal(new Set((await probe.take(20)).map(bodyText)).size, 20);
      }
    },
  },
  {
    id: "stream.offsets",
    title: "a group goes on where it stopped, also from another instance",
    notFor: needsStreams,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 2);
      await transport.send(items(stream, 10, keys));
      const first = await stage.open();
      const probe = stage.receive(first, group());
      for (const delivery of await probe.take(10))
        assert.equal(await delivery.settle(complete), "settled");
      await first[Symbol.asyncDispose]();
      await transport.send([toStream(stream, "new", "a")]);
      const next = stage.receive(await stage.open(), group());
      assert.equal(bodyText(await next.next()), "new");
      await next.nothingMore();
    },
  },
  {
    id: "stream.progress",
    title: "a stream tells its groups: how far each has come, the end, the lag, the oldest item",
    notFor: needsStreams,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 1);
      await transport.send(items(stream, 5, ["a"]));
      assert.deepEqual(await transport.inspection.groups(stream), []);
      const probe = stage.receive(transport, group());
      for (const delivery of (await probe.take(5)).slice(0, 2)) await delivery.settle(complete);
      const other = stage.receive(transport, group("others"), settleAll);
      await other.take(5);
      await stage.until("the numbers", async () => {
        const groups = await transport.inspection.groups(stream);
        const lags = groups.map((each) => `${each.group} ${each.partitions[0]?.lag}`);
        return lags.toSorted().join() === "others 0,readers 3";
      });
      const groups = await transport.inspection.groups(stream);
      const readers = groups.find((each) => each.group === "readers");
      const [progress] = readers?.partitions ?? [];
      assert.deepEqual(progress, { partition: 0, committed: 2, end: 5, lag: 3, oldest: 0 });
      await assert.rejects(transport.inspection.groups(stage.name("nowhere")), {
        code: "NOT_FOUND",
      });
    },
  },
  {
    id: "stream.late-group",
    title:
      "a group that begins late is given everything that is retained, though others have done with it",
    notFor: needsStreams,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 1);
      const sent = items(stream, 20, ["a"]);
      await transport.send(sent);
      await stage.receive(transport, group(), settleAll).take(20);
      const late = stage.receive(await stage.open(), group("late"), settleAll);
      const bodies = sent.map(({ envelope }) => envelope.body);
      assert.deepEqual((await late.take(20)).map(bodyText), bodies);
      await late.nothingMore();
    },
  },
  {
    id: "stream.latest",
    title: "a new group that starts at the latest gets only what is appended from then on",
    notFor: needsStreams,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 2);
      await transport.send(items(stream, 10, keys));
      const probe = stage.receive(transport, group("late"), { start: "latest", ...settleAll });
      await stage.until("a new item", async () => {
        await transport.send([toStream(stream, "new", "a"), toStream(stream, "new", "b")]);
        return probe.deliveries.length > 0;
      });
      assert.deepEqual(new Set(probe.bodies), new Set(["new"]));
    },
  },
  {
    id: "stream.gap",
    title: "an item that was never completed is read again, though later ones were",
    notFor: needsStreams,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 1);
      await transport.send(items(stream, 5, ["a"]));
      const first = await stage.open();
      const taken = await stage.receive(first, group()).take(5);
      for (const delivery of taken)
        if (bodyText(delivery) !== "a:1") await delivery.settle(complete);
      await first[Symbol.asyncDispose]();
      const addresses = await transport.inspection.addresses();
      const left = addresses.find(({ address }) => address === `${stream}@readers`)?.ready ?? 0;
      assert.ok(left >= 1, "what was not completed is counted as such");
      const probe = stage.receive(await stage.open(), group(), settleAll);
      assert.equal(bodyText(await probe.next()), "a:1");
      await stage.pass(60);
      assert.ok(!probe.bodies.includes("a:0"), "what was completed without a gap stays completed");
    },
  },
  {
    id: "stream.release",
    title: "a released item comes back before those behind it that were not delivered yet",
    notFor: needsStreams,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 1);
      await transport.send(items(stream, 3, ["a"]));
      const probe = stage.receive(transport, group(), { prefetch: 1 });
      const first = await probe.next();
      assert.equal(await first.settle(release), "settled");
      for (const expected of ["a:0", "a:1", "a:2"]) {
        const delivery = await probe.next();
        assert.equal(bodyText(delivery), expected);
        assert.equal(delivery.attempt, 1);
        await delivery.settle(complete);
      }
    },
  },
  {
    id: "stream.prefetch",
    title: "a reader of a stream never holds more items than its prefetch",
    notFor: needsStreams,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 4);
      await transport.send(items(stream, 40, keys));
      const probe = stage.receive(transport, group(), { prefetch: 6 });
      const [first] = await probe.take(6);
      await probe.nothingMore();
      await first?.settle(complete);
      await probe.take(1);
      await probe.nothingMore();
    },
  },
];
