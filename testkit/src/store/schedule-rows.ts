import assert from "node:assert/strict";
import type { ScheduleRow } from "@waybill/core";
import { reallyWait } from "../environment.ts";
import { type StoreCase, outgoing } from "./stage.ts";

const key = { service: "reporting", name: "nightly" };

function rowOf(more: Partial<ScheduleRow> = {}): ScheduleRow {
  return {
    ...key,
    contract: "reports.write",
    timing: '{"everyMs":1000}',
    outgoing: undefined,
    nextAt: 1_900_000_000_000,
    lastAt: undefined,
    fired: 0,
    missed: 0,
    pausedAt: undefined,
    keptUntil: undefined,
    retiredAt: undefined,
    trouble: undefined,
    ...more,
  };
}

const nameOf = ({ name }: ScheduleRow): string => name;

export const scheduleRowCases: readonly StoreCase[] = [
  {
    id: "schedule.row",
    title:
      "a schedule is read as it was saved, its message too, and nothing stays of a save that is rolled back",
    run: async (stage) => {
      const { store } = await stage.open();
      const { to, envelope } = outgoing("");
      const text = `grüße \u{1f600}\0${"x".repeat(200_000)}`;
      const row = rowOf({ outgoing: { to, envelope: { ...envelope, body: text } } });
      const bytes = { ...envelope, body: new Uint8Array([0, 255, 7]) };
      const after = rowOf({
        contract: "reports.other",
        timing: '{"everyMs":2000}',
        outgoing: { to, envelope: bytes, notAfter: 1_900_000_009_000 },
        nextAt: undefined,
        lastAt: 1_900_000_000_001,
        fired: 3,
        missed: 4,
        pausedAt: 1_900_000_000_002,
        keptUntil: 1_900_000_000_003,
        retiredAt: 1_900_000_000_004,
        trouble: "planned",
      });
      assert.equal(await store.transaction(({ schedules }) => schedules.insert(row)), true);
      assert.equal(await store.transaction(({ schedules }) => schedules.insert(after)), false);
      assert.deepEqual(await store.schedules.find(key), row);
      const failing = store.transaction(async ({ schedules }) => {
        await schedules.update(after);
        await schedules.insert(rowOf({ name: "other" }));
        throw new RangeError("planned");
      });
      await assert.rejects(failing, RangeError);
      assert.deepEqual(await store.schedules.find(key), row);
      assert.equal(await store.schedules.find({ ...key, name: "other" }), undefined);
      await store.transaction(({ schedules }) => schedules.update(after));
      assert.deepEqual(await store.transaction(({ schedules }) => schedules.load(key)), after);
      await store.transaction(({ schedules }) => schedules.update(rowOf()));
      assert.deepEqual(await store.schedules.find(key), rowOf());
      assert.equal(await store.transaction(({ schedules }) => schedules.remove(key)), true);
      assert.equal(await store.transaction(({ schedules }) => schedules.remove(key)), false);
    },
  },
  {
    id: "schedule.list",
    title: "schedules are listed in pages, by service, and those that are declared apart",
    run: async (stage) => {
      const { store } = await stage.open();
      await store.transaction(async ({ schedules }) => {
        for (const service of ["reporting", "sales"])
          for (let at = 10; at < 20; at++)
            await schedules.insert(
              rowOf({
                service,
                name: `n-${at}`,
                outgoing: at % 2 === 0 ? outgoing("one") : undefined,
              }),
            );
      });
      const first = await store.schedules.list({ limit: 7 });
      const [last] = first.slice(-1);
      const others = await store.schedules.list({ limit: 100, ...(last && { after: last }) });
      const names = Array.from({ length: 10 }, (_, at) => `n-${at + 10}`);
      assert.deepEqual([...first, ...others].map(nameOf), [...names, ...names]);
      const page = { limit: 100, service: "sales" };
      assert.deepEqual((await store.schedules.list(page)).map(nameOf), names);
      for (const declared of [true, false]) {
        const some = await store.schedules.list({ ...page, declared });
        assert.deepEqual(
          some.map(nameOf),
          names.filter((_, at) => (at % 2 === 0) !== declared),
        );
      }
    },
  },
  {
    id: "schedule.due",
    title: "those with a message of their own are due oldest first, and no other is",
    run: async (stage) => {
      const { store } = await stage.open();
      assert.equal(await store.schedules.nextDue(), undefined);
      await store.transaction(async ({ schedules }) => {
        for (const [name, nextAt] of [
          ["c", 300],
          ["a", 100],
          ["b", 200],
          ["paused", undefined],
        ] as const)
          await schedules.insert(rowOf({ name, nextAt, outgoing: outgoing(name) }));
        await schedules.insert(rowOf({ name: "declared", nextAt: 50 }));
      });
      assert.equal(await store.schedules.nextDue(), 100);
      const due = (now: number, limit: number): Promise<readonly ScheduleRow[]> =>
        store.transaction(({ schedules }) => schedules.due(now, limit));
      assert.deepEqual((await due(99, 10)).map(nameOf), []);
      assert.deepEqual((await due(200, 10)).map(nameOf), ["a", "b"]);
      assert.deepEqual((await due(1_000, 2)).map(nameOf), ["a", "b"]);
    },
  },
  {
    id: "schedule.race",
    title:
      "of two that insert one, one does; who loads one has it alone; what is due and in other hands is passed over",
    notFor: ({ concurrent }) => (concurrent ? undefined : "runs transactions one after another"),
    run: async (stage) => {
      const [left, right] = [await stage.open(), await stage.open()];
      const loaded = [left, right].map(({ store }) => ({
        store,
        ...Promise.withResolvers<void>(),
      }));
      const inserted = await Promise.all(
        loaded.map(({ store, resolve }) =>
          store.transaction(async ({ schedules }) => {
            assert.equal(await schedules.load(key), undefined);
            resolve();
            // Neither inserts before both have looked.
            await Promise.all(loaded.map(({ promise }) => promise));
            return schedules.insert(rowOf({ outgoing: outgoing("one") }));
          }),
        ),
      );
      assert.deepEqual(inserted.filter(Boolean).length, 1);
      const isLocked = Promise.withResolvers<void>();
      const isPassedOver = Promise.withResolvers<void>();
      const more = (row: ScheduleRow | undefined): ScheduleRow =>
        rowOf({ outgoing: row?.outgoing, fired: (row?.fired ?? 0) + 1 });
      const waiting = async (): Promise<void> => {
        await isLocked.promise;
        const { store } = right;
        const due = await store.transaction(({ schedules }) => schedules.due(Infinity, 10));
        isPassedOver.resolve();
        assert.deepEqual(due, []);
        await store.transaction(async ({ schedules }) =>
          schedules.update(more(await schedules.load(key))),
        );
      };
      const waits = waiting();
      const first = left.store.transaction(async ({ schedules }) => {
        const row = await schedules.load(key);
        isLocked.resolve();
        await isPassedOver.promise;
        // The other one has long asked by then; one that does not wait has read what was before.
        await reallyWait(300);
        await schedules.update(more(row));
      });
      await Promise.all([first, waits]);
      assert.equal((await left.store.schedules.find(key))?.fired, 2);
    },
  },
];
