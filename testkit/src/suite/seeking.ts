import assert from "node:assert/strict";
import type { Delivery, GroupProgress, Transport } from "@waybill/core";
import { assertBalanced, entryOf } from "./accounts.ts";
import { type SuiteCase, needsLedger, needsSeek } from "./case.ts";
import { failure, numbers, toStream } from "./messages.ts";
import { bodyText, complete, settleAll } from "./probe.ts";
import type { Stage } from "./stage.ts";
import { type StreamSetting, withStream } from "./streams.ts";

/** A stream of one partition with the items 0 to `count` - 1. */
async function numbered(stage: Stage, count: number): Promise<StreamSetting> {
  const setting = await withStream(stage, 1);
  await append(setting, numbers(count));
  return setting;
}

async function append(
  { transport, stream }: Pick<StreamSetting, "transport" | "stream">,
  bodies: readonly string[],
): Promise<void> {
  await transport.send(bodies.map((body) => toStream(stream, body, "key")));
}

/** Completes so many items, and stops. */
async function readAll(
  stage: Stage,
  { transport, group }: StreamSetting,
  count: number,
): Promise<readonly Delivery[]> {
  const probe = stage.receive(transport, group());
  const deliveries = await probe.take(count);
  for (const delivery of deliveries) assert.equal(await delivery.settle(complete), "settled");
  await probe.receiver.stop();
  return deliveries;
}

/** Where the group "readers" of a stream with one partition stands. */
async function progressOf(transport: Transport, stream: string): Promise<GroupProgress> {
  const [group] = await transport.inspection.groups(stream);
  const [progress] = group?.partitions ?? [];
  assert.ok(progress !== undefined);
  return progress;
}

const seen = (deliveries: readonly Delivery[]): readonly string[] =>
  deliveries.map((delivery) => `${bodyText(delivery)} as attempt ${delivery.attempt}`);

export const seekCases: readonly SuiteCase[] = [
  {
    id: "seek.start",
    title:
      "a group that is put to the start while it reads gets all that is retained again, attempts at one",
    notFor: needsSeek,
    run: async (stage) => {
      const { transport, stream, group } = await numbered(stage, 6);
      const probe = stage.receive(transport, group(), { prefetch: 4 });
      const [first, second, third] = await probe.take(4);
      assert.equal(await second?.settle(complete), "settled");
      const [fifth] = await probe.take(1);
      const other = await stage.open();
      const { partitions } = await other.inspection.seek(stream, "readers", "start");
      assert.deepEqual(partitions[0], { partition: 0, committed: 0, end: 6, lag: 6, oldest: 0 });
      assert.equal(await first?.settle(complete), "lockLost");
      await stage.until("locks that are told to be lost", () =>
        [third, fifth].every((delivery) => probe.lost.some((lost) => lost === delivery)),
      );
      assert.equal(await third?.settle(complete), "lockLost");
      const again = await probe.take(4);
      assert.equal(await again[0]?.settle(complete), "settled");
      assert.equal(
        (await progressOf(transport, stream)).committed,
        1,
        "what was done is forgotten",
      );
      for (const delivery of again.slice(1))
        assert.equal(await delivery.settle(complete), "settled");
      const rest = await probe.take(2);
      assert.deepEqual(
        seen([...again, ...rest]),
        numbers(6).map((body) => `${body} as attempt 1`),
      );
      for (const delivery of rest) assert.equal(await delivery.settle(complete), "settled");
      await probe.nothingMore();
      assert.equal((await progressOf(transport, stream)).committed, 6);
    },
  },
  {
    id: "seek.stopped",
    title: "a group that nobody reads can be put to another place, too",
    notFor: needsSeek,
    run: async (stage) => {
      const setting = await numbered(stage, 6);
      const { transport, stream, group } = setting;
      await readAll(stage, setting, 6);
      await transport.inspection.seek(stream, "readers", {
        offsets: [{ partition: 0, offset: 4 }],
      });
      const probe = stage.receive(await stage.open(), group(), settleAll);
      assert.deepEqual(seen(await probe.take(2)), ["4 as attempt 1", "5 as attempt 1"]);
      await probe.nothingMore();
    },
  },
  {
    id: "seek.end",
    title: "a group that is put to the end gets only what is appended from then on",
    notFor: needsSeek,
    run: async (stage) => {
      const setting = await numbered(stage, 30);
      const { transport, stream, group } = setting;
      const probe = stage.receive(transport, group(), { prefetch: 5 });
      const held = await probe.take(5);
      await transport.inspection.seek(stream, "readers", "end");
      await stage.until("5 locks that are told to be lost", () => probe.lost.length === 5);
      for (const delivery of held) assert.equal(await delivery.settle(complete), "lockLost");
      await probe.nothingMore();
      await append(setting, ["new"]);
      assert.deepEqual(seen([await probe.next()]), ["new as attempt 1"]);
      const { committed, end, lag } = await progressOf(transport, stream);
      assert.deepEqual([committed, end, lag], [30, 31, 1]);
    },
  },
  {
    id: "seek.time",
    title: "a group can be put to the first item that was taken in at a moment or later",
    notFor: needsSeek,
    run: async (stage) => {
      const setting = await numbered(stage, 3);
      const { transport, stream, group } = setting;
      await stage.pass(20);
      await append(setting, ["late", "later"]);
      const [late, later] = (await readAll(stage, setting, 5)).slice(3);
      const seek = (at: number) => transport.inspection.seek(stream, "readers", { at });
      for (const [at, committed] of [
        [(later?.enqueuedAt ?? 0) + 1, 5],
        [0, 0],
        [stage.now() + 60_000, 5],
        [late?.enqueuedAt ?? 0, 3],
      ] as const)
        assert.equal((await seek(at)).partitions[0]?.committed, committed);
      const probe = stage.receive(transport, group(), settleAll);
      assert.deepEqual((await probe.take(2)).map(bodyText), ["late", "later"]);
      await probe.nothingMore();
    },
  },
  {
    id: "seek.offsets",
    title:
      "partitions that are not named keep their place and what is held of them; positions are kept within what is there",
    notFor: needsSeek,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 2);
      const { inspection } = transport;
      for (const key of "abcdefgh") await transport.send([toStream(stream, key, key)]);
      const probe = stage.receive(transport, group());
      const held = await probe.take(8);
      const of = (partition: number): readonly Delivery[] =>
        held.filter(({ position }) => position?.partition === partition);
      assert.ok(of(0).length > 0 && of(1).length > 0, "both partitions have items");
      await inspection.seek(stream, "readers", { offsets: [{ partition: 1, offset: 0 }] });
      for (const delivery of of(0)) assert.equal(await delivery.settle(complete), "settled");
      for (const delivery of of(1)) assert.equal(await delivery.settle(complete), "lockLost");
      const again = await probe.take(of(1).length);
      assert.deepEqual(again.map(bodyText), of(1).map(bodyText));
      const clamped = await inspection.seek(stream, "readers", {
        offsets: [
          { partition: 0, offset: 1_000 },
          { partition: 1, offset: -5 },
        ],
      });
      assert.deepEqual(
        clamped.partitions.map(({ committed }) => committed),
        [of(0).length, 0],
      );
    },
  },
  {
    id: "seek.others",
    title: "other groups and dead letters stay as they are",
    notFor: needsSeek,
    run: async (stage) => {
      const { transport, stream, group } = await numbered(stage, 3);
      const probe = stage.receive(transport, group(), { prefetch: 1 });
      await (await probe.next()).settle({ kind: "deadLetter", failure: failure(1) });
      const held = stage.receive(transport, group("others"));
      const [other] = await held.take(3);
      const address = `${stream}@readers`;
      const [dead] = await stage.listed(transport.inspection, { state: "dead", address }, 1);
      await probe.next();
      await transport.inspection.seek(stream, "readers", "start");
      for (const body of numbers(3)) {
        const delivery = await probe.next();
        assert.deepEqual([bodyText(delivery), delivery.attempt], [body, 1]);
        await delivery.settle(complete);
      }
      assert.equal(await other?.settle(complete), "settled");
      await held.nothingMore();
      assert.equal(await transport.inspection.replay([dead?.handle ?? ""]), 1);
      const replayed = await probe.next();
      assert.equal(bodyText(replayed), "0");
      await transport.inspection.seek(stream, "readers", "end");
      assert.equal(await replayed.settle(complete), "settled", "a replay is not of the log");
    },
  },
  {
    id: "seek.members",
    title: "members in two instances share what comes again, each item once",
    notFor: needsSeek,
    run: async (stage) => {
      const { transport, stream, group } = await withStream(stage, 4);
      const keys = numbers(24);
      await transport.send(keys.map((key) => toStream(stream, key, key)));
      const probes = [
        stage.receive(transport, group(), settleAll),
        stage.receive(await stage.open(), group(), settleAll),
      ];
      const all = (): readonly Delivery[] => probes.flatMap((probe) => probe.deliveries);
      await stage.until("24 items", () => all().length >= 24);
      await stage.until("24 that are done", async () => {
        const [readers] = await transport.inspection.groups(stream);
        return readers?.partitions.every(({ lag }) => lag === 0) === true;
      });
      const before = all().length;
      await transport.inspection.seek(stream, "readers", "start");
      await stage.until("24 items again", () => all().length >= before + 24);
      await stage.pass(50);
      const again = probes.flatMap((probe) => probe.bodies).toSorted();
      assert.deepEqual(again, [...keys, ...keys].toSorted());
    },
  },
  {
    id: "seek.books",
    title: "the books say how much a seek repeated and how much it passed over",
    notFor: (capabilities) => needsSeek(capabilities) ?? needsLedger(capabilities),
    run: async (stage) => {
      const setting = await numbered(stage, 10);
      const { transport, stream, group } = setting;
      const probe = stage.receive(transport, group(), { prefetch: 4 });
      const [first, , third] = await probe.take(4);
      for (const delivery of [first, third])
        assert.equal(await delivery?.settle(complete), "settled");
      await probe.receiver.stop();
      const address = `${stream}@readers`;
      await transport.inspection.seek(stream, "readers", "start");
      await assertBalanced(transport);
      const again = await entryOf(transport, address);
      assert.equal(again.waiting.ready, 10);
      assert.equal(again.completed, again.repeated);
      await transport.inspection.seek(stream, "readers", "end");
      await assertBalanced(transport);
      assert.equal((await entryOf(transport, address)).left.skipped, 10);
      await append(setting, ["new"]);
      await stage.receive(transport, group(), settleAll).take(1);
      await stage.until("the last is booked", async () => {
        const { completed, repeated } = await entryOf(transport, address);
        return completed === repeated + 1;
      });
      await assertBalanced(transport);
    },
  },
  {
    id: "seek.refused",
    title: "what does not exist and what is no position is refused, and nothing moves",
    notFor: needsSeek,
    run: async (stage) => {
      const setting = await numbered(stage, 3);
      const { transport, stream } = setting;
      const { inspection } = transport;
      await readAll(stage, setting, 3);
      const missing = { code: "NOT_FOUND" };
      await assert.rejects(inspection.seek(stage.name("nowhere"), "readers", "start"), missing);
      await assert.rejects(inspection.seek(stream, "nobody", "start"), missing);
      for (const to of [
        "middle",
        null,
        {},
        { at: Number.NaN },
        { at: "2030" },
        { offsets: [{ partition: 1, offset: 0 }] },
        { offsets: [{ partition: 0, offset: 0.5 }] },
        {
          offsets: [
            { partition: 0, offset: 1 },
            { partition: 0, offset: 2 },
          ],
        },
      ] as readonly unknown[])
        await assert.rejects(inspection.seek(stream, "readers", to as "start"), {
          code: "OPTION_INVALID",
        });
      assert.equal((await progressOf(transport, stream)).committed, 3);
    },
  },
];
