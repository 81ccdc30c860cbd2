import assert from "node:assert/strict";
import type { SagaRow } from "@waybill/core";
import { reallyWait } from "../environment.ts";
import type { StoreCase } from "./stage.ts";

const key = { saga: "order-process", id: "o-1" };

function rowOf(more: Partial<SagaRow> = {}): SagaRow {
  return {
    ...key,
    version: 1,
    phase: "open",
    body: "{}",
    startedAt: 1_900_000_000_000,
    changedAt: 1_900_000_000_001,
    finishedAt: undefined,
    forgetAt: undefined,
    ...more,
  };
}

const byTruth = (one: boolean, other: boolean): number => Number(one) - Number(other);

export const sagaRowCases: readonly StoreCase[] = [
  {
    id: "saga.row",
    title: "a saga is read as it was saved, and nothing stays of a save that is rolled back",
    run: async (stage) => {
      const { store } = await stage.open();
      const row = rowOf({
        body: JSON.stringify({ text: `grüße \u{1f600}\0${"x".repeat(200_000)}` }),
      });
      const ends = {
        version: 2,
        phase: "done",
        changedAt: 1_900_000_000_002,
        finishedAt: 1,
        forgetAt: 2,
      };
      const after = { ...row, ...ends };
      assert.equal(await store.transaction(({ sagas }) => sagas.insert(row)), true);
      assert.deepEqual(await store.sagas.find(key), row);
      assert.deepEqual(await store.transaction(({ sagas }) => sagas.load(key)), row);
      const failing = store.transaction(async ({ sagas }) => {
        assert.equal(await sagas.update(after), true);
        await sagas.insert(rowOf({ id: "o-2" }));
        throw new RangeError("planned");
      });
      await assert.rejects(failing, RangeError);
      assert.deepEqual(await store.sagas.find(key), row);
      assert.equal(await store.sagas.find({ ...key, id: "o-2" }), undefined);
      assert.equal(await store.transaction(({ sagas }) => sagas.update(after)), true);
      assert.deepEqual(
        await store.transaction(({ sagas }) => sagas.load(key, { lock: true })),
        after,
      );
    },
  },
  {
    id: "saga.row-version",
    title:
      "what was not read is not written over: neither a saga that is there nor another version",
    run: async (stage) => {
      const { store } = await stage.open();
      const insert = (row: SagaRow): Promise<boolean> =>
        store.transaction(({ sagas }) => sagas.insert(row));
      const update = (row: SagaRow): Promise<boolean> =>
        store.transaction(({ sagas }) => sagas.update(row));
      assert.equal(await insert(rowOf()), true);
      assert.equal(await insert(rowOf({ body: '"other"' })), false);
      assert.equal(await insert(rowOf({ saga: "another" })), true);
      assert.equal(await update(rowOf({ version: 2 })), true);
      for (const version of [1, 2, 4]) assert.equal(await update(rowOf({ version })), false);
      assert.equal(await update(rowOf({ id: "o-9", version: 2 })), false);
      assert.deepEqual(await store.sagas.find(key), rowOf({ version: 2 }));
    },
  },
  {
    id: "saga.row-race",
    title:
      "of two that start or change one saga at once, one does and the other is told; who locks it has it alone",
    notFor: ({ concurrent }) => (concurrent ? undefined : "runs transactions one after another"),
    run: async (stage) => {
      const [left, right] = [await stage.open(), await stage.open()];
      const both = (act: (at: number) => Promise<boolean>): Promise<readonly boolean[]> =>
        Promise.all([act(0), act(1)]);
      const stores = [left.store, right.store];
      const barrier = (): (() => Promise<void>) => {
        const { promise, resolve } = Promise.withResolvers<void>();
        let waiting = 0;
        return () => {
          waiting += 1;
          if (waiting === 2) resolve();
          return promise;
        };
      };
      const began = barrier();
      const started = await both((at) =>
        (stores[at] ?? left.store).transaction(async ({ sagas }) => {
          assert.equal(await sagas.load(key), undefined);
          await began();
          return sagas.insert(rowOf({ body: String(at) }));
        }),
      );
      assert.deepEqual(started.toSorted(byTruth), [false, true]);
      const loaded = barrier();
      const changed = await both((at) =>
        (stores[at] ?? left.store).transaction(async ({ sagas }) => {
          const row = await sagas.load(key);
          await loaded();
          return sagas.update(rowOf({ version: (row?.version ?? 0) + 1 }));
        }),
      );
      assert.deepEqual(changed.toSorted(byTruth), [false, true]);
      const isLocked = Promise.withResolvers<void>();
      const next = (row: SagaRow | undefined): SagaRow =>
        rowOf({ version: (row?.version ?? 0) + 1 });
      const waits = isLocked.promise.then(() =>
        right.store.transaction(async ({ sagas }) =>
          sagas.update(next(await sagas.load(key, { lock: true }))),
        ),
      );
      const first = await left.store.transaction(async ({ sagas }) => {
        const row = await sagas.load(key, { lock: true });
        isLocked.resolve();
        // The other one has long asked by then; one that does not wait has read the old version.
        await reallyWait(100);
        return sagas.update(next(row));
      });
      assert.deepEqual([first, await waits], [true, true]);
      assert.equal((await left.store.sagas.find(key))?.version, 4);
    },
  },
  {
    id: "saga.list",
    title: "sagas are listed in pages, by phase too, without those of another name",
    run: async (stage) => {
      const { store } = await stage.open();
      const ids = Array.from({ length: 25 }, (_, index) => `o-${index}`).toSorted();
      await store.transaction(async ({ sagas }) => {
        await sagas.insert(rowOf({ saga: "another", id: "o-0" }));
        for (const [index, id] of ids.entries())
          await sagas.insert(rowOf({ id, phase: index % 2 === 0 ? "open" : "done" }));
      });
      const saga = "order-process";
      const first = await store.sagas.list({ saga, limit: 10 });
      const next = await store.sagas.list({ saga, limit: 100, after: first.at(-1)?.id ?? "" });
      assert.deepEqual(
        [...first, ...next].map(({ id }) => id),
        ids,
      );
      const done = await store.sagas.list({ saga, limit: 100, phase: "done" });
      assert.equal(done.length, 12);
      assert.ok(done.every(({ phase }) => phase === "done"));
      assert.equal("body" in (done[0] ?? {}), false);
      assert.deepEqual(await store.sagas.list({ saga: "nobody", limit: 10 }), []);
    },
  },
  {
    id: "saga.forget",
    title: "who has finished long ago is forgotten in steps, and nobody else",
    run: async (stage) => {
      const { store } = await stage.open();
      await store.transaction(async ({ sagas }) => {
        for (let at = 0; at < 10; at++)
          await sagas.insert(rowOf({ id: `f-${at}`, finishedAt: at, forgetAt: 1_000 + at }));
        await sagas.insert(rowOf({ id: "running" }));
      });
      assert.equal(await store.sagas.forget(999, 100), 0);
      assert.equal(await store.sagas.forget(1_006, 5), 5);
      assert.equal(await store.sagas.forget(1_006, 5), 2);
      assert.equal(await store.sagas.forget(1_006, 5), 0);
      const left = await store.sagas.list({ saga: key.saga, limit: 100 });
      assert.deepEqual(
        left.map(({ id }) => id),
        ["f-7", "f-8", "f-9", "running"],
      );
      assert.equal(
        await store.transaction(({ sagas }) => sagas.insert(rowOf({ id: "f-0" }))),
        true,
      );
    },
  },
];
