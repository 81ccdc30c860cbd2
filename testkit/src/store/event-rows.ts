import assert from "node:assert/strict";
import type { Store } from "@waybill/core";
import { reallyWait } from "../environment.ts";
import { append, fingerprint, key, rowOf, versions } from "./event-row.ts";
import type { StoreCase } from "./stage.ts";

export const eventRowCases: readonly StoreCase[] = [
  {
    id: "event.row",
    title:
      "events are read as they were appended, in pages, and nothing stays of what is rolled back",
    run: async (stage) => {
      const { store } = await stage.open();
      const rows = [
        rowOf(1, { body: JSON.stringify({ text: `grüße \u{1f600}\0${"x".repeat(200_000)}` }) }),
        ...Array.from({ length: 9 }, (_, at) => rowOf(at + 2)),
      ];
      assert.equal(await append(store, ...rows.slice(0, 7)), true);
      assert.equal(await append(store, ...rows.slice(7)), true);
      const failing = store.transaction(async ({ events }) => {
        assert.equal(await events.append([rowOf(11), rowOf(12)]), true);
        assert.equal(await events.last(key, {}), 12);
        assert.equal((await events.read(key, { after: 10, limit: 10 })).length, 2);
        throw new RangeError("planned");
      });
      await assert.rejects(failing, RangeError);
      assert.deepEqual(await store.events.read(key, { after: 0, limit: 100 }), rows);
      assert.deepEqual(await store.events.read(key, { after: 3, limit: 4 }), rows.slice(3, 7));
      const loaded = await store.transaction(({ events }) =>
        events.load(key, { fingerprint, limit: 3, lock: true }),
      );
      assert.deepEqual(loaded, { snapshot: undefined, events: rows.slice(0, 3) });
      assert.deepEqual(
        await store.events.load({ decider: "other", key: "a-1" }, { fingerprint, limit: 3 }),
        {
          snapshot: undefined,
          events: [],
        },
      );
    },
  },
  {
    id: "event.conflict",
    title:
      "what was decided on an older version, or leaves one out, is not appended, no part of it",
    run: async (stage) => {
      const [left, right] = [await stage.open(), await stage.open()];
      assert.equal(await append(left.store, rowOf(2)), false);
      assert.equal(await append(left.store, rowOf(1), rowOf(2)), true);
      for (const at of [1, 2, 4, 9])
        assert.equal(await append(right.store, rowOf(at, { id: "x" }), rowOf(at + 1)), false);
      assert.deepEqual(await versions(left.store), [1, 2]);
      // Who is told so and commits has appended nothing.
      const told = await right.store.transaction(({ events }) =>
        events.append([rowOf(2, { id: "late" }), rowOf(3, { id: "late" })]),
      );
      assert.equal(told, false);
      assert.deepEqual(await versions(left.store), [1, 2]);
      assert.equal(await append(right.store, rowOf(3)), true);
      assert.equal(await append(right.store, rowOf(1, { key: "a-2" })), true);
      assert.equal(await append(right.store, rowOf(1, { decider: "other" })), true);
      assert.deepEqual(await versions(left.store), [1, 2, 3]);
    },
  },
  {
    id: "event.race",
    title:
      "of two that append to one stream at once one does and the other is told; who locks it is not overtaken",
    notFor: ({ concurrent }) => (concurrent ? undefined : "runs transactions one after another"),
    run: async (stage) => {
      const [left, right] = [await stage.open(), await stage.open()];
      const loaded = Promise.withResolvers<void>();
      let waiting = 0;
      const one = ({ store }: { readonly store: Store }): Promise<boolean> =>
        store.transaction(async ({ events }) => {
          const last = await events.last(key, {});
          waiting += 1;
          if (waiting === 2) loaded.resolve();
          await loaded.promise;
          const isDone = await events.append([rowOf(last + 1), rowOf(last + 2)]);
          // Long enough for the other one to have asked.
          if (isDone) await reallyWait(100);
          return isDone;
        });
      const done = await Promise.all([one(left), one(right)]);
      assert.deepEqual(
        done.toSorted((a, b) => Number(a) - Number(b)),
        [false, true],
      );
      assert.deepEqual(await versions(left.store), [1, 2]);
      const isLocked = Promise.withResolvers<void>();
      const hasTried = Promise.withResolvers<void>();
      // A case that fails leaves no transaction open.
      stage.closing(async () => hasTried.resolve());
      const first = left.store.transaction(async ({ events }) => {
        const last = await events.load(key, { fingerprint, limit: 10, lock: true });
        isLocked.resolve();
        await hasTried.promise;
        return events.append([rowOf((last.events.at(-1)?.version ?? 0) + 1)]);
      });
      await isLocked.promise;
      // Without the lock it is told at once; with it, it waits and finds the new version.
      assert.equal(await append(right.store, rowOf(3, { id: "overtaking" })), false);
      const second = right.store.transaction(async ({ events }) => {
        const asked = events.load(key, { fingerprint, limit: 10, lock: true });
        hasTried.resolve();
        return events.append([rowOf(((await asked).events.at(-1)?.version ?? 0) + 1)]);
      });
      assert.deepEqual([await first, await second], [true, true]);
      assert.deepEqual(await versions(left.store), [1, 2, 3, 4]);
    },
  },
  {
    id: "event.snapshot",
    title: "a snapshot shortens a stream for who asks with its fingerprint, and for nobody else",
    run: async (stage) => {
      const { store } = await stage.open();
      const rows = Array.from({ length: 6 }, (_, at) => rowOf(at + 1));
      await append(store, ...rows);
      const keep = (version: number, by: string): Promise<void> =>
        store.transaction(async ({ events }) => {
          await events.keep({ ...key, version, fingerprint: by, body: `{"at":${version}}` });
        });
      await keep(2, fingerprint);
      await keep(4, fingerprint);
      const loaded = await store.events.load(key, { fingerprint, limit: 100 });
      assert.deepEqual(loaded, {
        snapshot: { ...key, version: 4, fingerprint, body: '{"at":4}' },
        events: rows.slice(4),
      });
      const whole = await store.transaction(({ events }) =>
        events.load(key, { fingerprint: "f-2", limit: 100 }),
      );
      assert.deepEqual(whole, { snapshot: undefined, events: rows });
      await keep(5, "f-2");
      assert.deepEqual(await store.events.load(key, { fingerprint, limit: 100 }), {
        snapshot: undefined,
        events: rows,
      });
    },
  },
  {
    id: "event.forget",
    title: "what stands before a version is removed with the snapshot, and the stream goes on",
    run: async (stage) => {
      const { store } = await stage.open();
      await append(store, rowOf(1), rowOf(2), rowOf(3));
      await append(store, rowOf(1, { key: "a-2" }));
      await store.transaction(async ({ events }) => {
        await events.keep({ ...key, version: 3, fingerprint, body: "{}" });
        assert.equal(await events.append([rowOf(4, { type: "" })]), true);
        await events.forget(key, 4);
      });
      assert.deepEqual(await versions(store), [4]);
      assert.deepEqual(await versions(store, "a-2"), [1]);
      const loaded = await store.events.load(key, { fingerprint, limit: 10 });
      assert.deepEqual(loaded, { snapshot: undefined, events: [rowOf(4, { type: "" })] });
      assert.equal(await append(store, rowOf(3)), false);
      assert.equal(await append(store, rowOf(5)), true);
    },
  },
];
