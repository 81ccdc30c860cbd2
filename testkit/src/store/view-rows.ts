import assert from "node:assert/strict";
import type { Store, ViewMessage, ViewPlace, ViewRow } from "@waybill/core";
import { reallyWait } from "../environment.ts";
import type { StoreCase, StoreStage } from "./stage.ts";

const view = "products";
const at = 1_900_000_000_000;

function rowOf(key: string, more: Partial<ViewRow> = {}): ViewRow {
  return { key, body: '{"name":"tea"}', versions: '{"product":1}', changedAt: at, ...more };
}

function placeOf(key: string, generation = 1): ViewPlace {
  return { view, key, generation };
}

function messageOf(id: string, more: Partial<ViewMessage> = {}): ViewMessage {
  return { view, message: `named ${id}`, cause: undefined, conversation: undefined, ...more };
}

const types = ["named", "priced"];

async function opened(stage: StoreStage): Promise<Store> {
  const { store } = await stage.open();
  await store.views.declare(view);
  await store.views.declare(view);
  return store;
}

function save(store: Store, row: ViewRow, generation = 1): Promise<void> {
  return store.transaction(async ({ views }) => {
    const place = placeOf(row.key, generation);
    await views.load(place);
    await views.save(place, row);
  });
}

async function keysOf(store: Store): Promise<readonly string[]> {
  return (await store.views.list({ view, limit: 100 })).map(({ key }) => key);
}

export const viewRowCases: readonly StoreCase[] = [
  {
    id: "view.row",
    title: "a row is read as it was saved, and nothing stays of a save that is rolled back",
    run: async (stage) => {
      const store = await opened(stage);
      const key = "grüße \u{1f600}";
      const row = rowOf(key, { body: JSON.stringify({ text: `\0${"x".repeat(200_000)}` }) });
      const after = rowOf(key, { body: '"other"', versions: '{"product":2}', changedAt: at + 1 });
      await save(store, row);
      assert.deepEqual(await store.views.find({ view, key }), row);
      assert.deepEqual(await store.transaction(({ views }) => views.load(placeOf(key))), row);
      const failing = store.transaction(async ({ views }) => {
        await views.load(placeOf(key));
        await views.save(placeOf(key), after);
        assert.deepEqual(await views.find({ view, key }), after);
        assert.deepEqual(await views.list({ view, limit: 10 }), [after]);
        await views.load(placeOf("new"));
        await views.save(placeOf("new"), rowOf("new"));
        throw new RangeError("planned");
      });
      await assert.rejects(failing, RangeError);
      assert.deepEqual(await store.views.list({ view, limit: 10 }), [row]);
      await store.transaction(async ({ views }) => {
        assert.equal(await views.load(placeOf("new")), undefined);
      });
      await save(store, after);
      assert.deepEqual(await store.views.find({ view, key }), after);
      assert.deepEqual(await keysOf(store), [key], "what was only looked for is no row");
    },
  },
  {
    id: "view.row-removed",
    title: "a row that was removed is not read, and its versions are known as long as it has some",
    run: async (stage) => {
      const store = await opened(stage);
      for (const key of ["a", "b", "c"]) await save(store, rowOf(key));
      const removed = rowOf("b", { body: undefined });
      await save(store, removed);
      await save(store, rowOf("c", { body: undefined, versions: "{}" }));
      assert.deepEqual(await keysOf(store), ["a"]);
      assert.equal(await store.views.find({ view, key: "b" }), undefined);
      await store.transaction(async ({ views }) => {
        assert.deepEqual(await views.load(placeOf("b")), removed);
        assert.equal(await views.load(placeOf("c")), undefined);
      });
    },
  },
  {
    id: "view.list",
    title: "rows are listed in pages in the order of keys, without those of another view",
    run: async (stage) => {
      const store = await opened(stage);
      await store.views.declare("others");
      const keys = Array.from({ length: 25 }, (_, index) => `k-${index}`).toSorted();
      await store.transaction(async ({ views }) => {
        const other = { view: "others", key: "k-0", generation: 1 };
        await views.load(other);
        await views.save(other, rowOf("k-0"));
        for (const key of keys.toReversed()) {
          await views.load(placeOf(key));
          await views.save(placeOf(key), rowOf(key));
        }
      });
      const first = await store.views.list({ view, limit: 10 });
      const next = await store.views.list({ view, limit: 100, after: first.at(-1)?.key ?? "" });
      assert.deepEqual(
        [...first, ...next].map(({ key }) => key),
        keys,
      );
      assert.deepEqual(await store.views.list({ view: "nobody", limit: 10 }), []);
    },
  },
  {
    id: "view.claim",
    title: "a message is taken once, and not at all by a transaction that is rolled back",
    run: async (stage) => {
      const store = await opened(stage);
      const claim = (message: ViewMessage): Promise<readonly number[]> =>
        store.transaction(({ views }) => views.claim(message));
      const failing = store.transaction(async ({ views }) => {
        assert.deepEqual(await views.claim(messageOf("a")), [1]);
        throw new RangeError("planned");
      });
      await assert.rejects(failing, RangeError);
      assert.equal(await store.views.isApplied(view, "a", types), false);
      assert.deepEqual(await claim(messageOf("a")), [1]);
      assert.deepEqual(await claim(messageOf("a")), []);
      assert.equal(await store.views.isApplied(view, "a", types), true);
      assert.equal(await store.views.isApplied(view, "a", ["priced"]), false);
      const caused = messageOf("b", { cause: "handled", conversation: "begun" });
      assert.deepEqual(await claim(caused), [1]);
      for (const id of ["b", "handled", "begun"])
        assert.equal(await store.views.isApplied(view, id, types), true, id);
      assert.equal(await store.views.isApplied(view, "c", types), false);
      await store.views.declare("others");
      assert.equal(await store.views.isApplied("others", "b", types), false);
      await assert.rejects(claim(messageOf("a", { view: "never" })), { code: "STATE_INVALID" });
    },
  },
  {
    id: "view.race",
    title:
      "of two that take one message at once one does; of two that change one row the second sees the first",
    notFor: ({ concurrent }) => (concurrent ? undefined : "runs transactions one after another"),
    run: async (stage) => {
      const left = await opened(stage);
      const { store: right } = await stage.open();
      const isLoaded = Promise.withResolvers<void>();
      const add = (row: ViewRow | undefined, letter: string): ViewRow =>
        rowOf("a", { body: `${row?.body ?? ""}${letter}` });
      const second = isLoaded.promise.then(() =>
        right.transaction(async ({ views }) => {
          const row = await views.load(placeOf("a"));
          await views.save(placeOf("a"), add(row, "2"));
          return views.claim(messageOf("m"));
        }),
      );
      const first = await left.transaction(async ({ views }) => {
        const row = await views.load(placeOf("a"));
        isLoaded.resolve();
        // The other one has long asked by then; one that does not wait has seen no row.
        await reallyWait(100);
        await views.save(placeOf("a"), add(row, "1"));
        return views.claim(messageOf("m"));
      });
      assert.deepEqual([first, await second], [[1], []]);
      assert.equal((await left.views.find({ view, key: "a" }))?.body, "12");
    },
  },
  {
    id: "view.advance",
    title: "a source knows how far it has come: by position nothing is taken twice",
    run: async (stage) => {
      const store = await opened(stage);
      const advance = (offset: number | undefined, partition = 0): Promise<boolean> =>
        store.transaction(({ views }) =>
          views.advance({
            view,
            generation: 1,
            source: "readings",
            partition,
            offset,
            sentAt: at + (offset ?? 0),
            at: at + 100,
          }),
        );
      assert.deepEqual(await store.views.state("nobody"), undefined);
      const before = await store.views.state(view);
      assert.deepEqual(before, { generation: 1, building: undefined, progress: [] });
      assert.deepEqual(
        [await advance(5), await advance(5), await advance(4), await advance(9)],
        [true, false, false, true],
      );
      assert.deepEqual([await advance(0, 1), await advance(undefined)], [true, true]);
      const { progress = [] } = (await store.views.state(view)) ?? {};
      assert.deepEqual(progress, [
        {
          source: "readings",
          applied: 4,
          sentAt: at + 9,
          appliedAt: at + 100,
          offsets: [
            { partition: 0, offset: 9 },
            { partition: 1, offset: 0 },
          ],
        },
      ]);
    },
  },
  {
    id: "view.generations",
    title:
      "a generation that is built is kept beside the one that is read, takes its place at once, and is forgotten in steps",
    run: async (stage) => {
      const store = await opened(stage);
      const mark = { view, source: "readings", partition: 0, sentAt: at, at };
      const advance = (generation: number, offset: number): Promise<boolean> =>
        store.transaction(({ views }) => views.advance({ ...mark, generation, offset }));
      await save(store, rowOf("old"));
      assert.equal(await advance(1, 7), true);
      const starts = [{ source: "readings", partition: 0, offset: 8 }];
      const given = await store.views.begin(view, [], at);
      const building = await store.views.begin(view, starts, at + 1);
      assert.deepEqual([given, building], [2, 3]);
      assert.deepEqual((await store.views.state(view))?.building, {
        generation: 3,
        since: at + 1,
        closed: 1,
      });
      assert.deepEqual(await store.transaction(({ views }) => views.claim(messageOf("a"))), [1, 3]);
      // What was on its way is not its beginning; from there on the record of the message says what it knows.
      assert.deepEqual(
        [await advance(3, 8), await advance(3, 3), await advance(3, 2), await advance(3, 8)],
        [false, true, true, true],
      );
      assert.equal((await store.views.state(view))?.building?.closed, 0);
      assert.equal(await advance(1, 7), false);
      await save(store, rowOf("new"), 3);
      await save(store, rowOf("given up"), 2);
      assert.deepEqual(await keysOf(store), ["old"]);
      assert.equal(await store.views.finish(view, 2), false);
      assert.equal(await store.views.finish(view, 3), true);
      assert.equal(await store.views.finish(view, 3), false);
      assert.deepEqual([await advance(3, 8), await advance(3, 9)], [false, true]);
      assert.equal(await store.views.isApplied(view, "a", types), true);
      assert.deepEqual(await keysOf(store), ["new"]);
      while ((await store.outbox.renew(60_000)).more) await reallyWait(1);
      for (const generation of [1, 2])
        await store
          .transaction(async ({ views }) => {
            for (const key of ["old", "given up"])
              assert.equal(await views.load(placeOf(key, generation)), undefined);
            throw new RangeError("planned");
          })
          .catch((error: unknown) => assert.ok(error instanceof RangeError, String(error)));
      assert.deepEqual(await keysOf(store), ["new"]);
      const again = await store.views.begin(view, [], at);
      await store.views.abandon(view, 3);
      assert.equal((await store.views.state(view))?.building?.generation, again);
      await store.views.abandon(view, again);
      const { building: none, generation } = (await store.views.state(view)) ?? {};
      assert.deepEqual([none, generation], [undefined, 3]);
    },
  },
];
