import assert from "node:assert/strict";
import { Changed, type Kept, type Keeping, atRest, everything, keeping, names } from "./keeping.ts";
import type { StoreCase, StoreStage } from "./stage.ts";

export const viewRebuildCases: readonly StoreCase[] = [
  {
    id: "view.rebuild",
    title:
      "a view is rebuilt from stream and backfill while it is read and kept: nothing is lost, nothing newer written over, all at once",
    run: async (stage) => {
      const seen: (Kept | undefined)[] = [];
      const app: Keeping = await keeping(stage, {
        backfill: async function* () {
          yield { contract: Changed, value: { key: "two", text: "only there", version: 3 } };
          await app.changed("new", 9);
          await stage.until("the newer one", async () => (await app.row())?.newest === "new");
          yield { contract: Changed, value: { key: "one", text: "old", version: 5 } };
          await app.logged("meanwhile");
          seen.push(await app.row());
        },
      });
      for (const name of names) await app.logged(name);
      await app.changed("first", 1);
      await everything(stage, app);
      await spoil(stage);
      const report = await app.bus.views(app.view).rebuild();
      assert.deepEqual(report, { generation: 2, filled: 2, stale: 1 });
      assert.deepEqual(seen[0]?.counted[0], "spoilt", "the old rows are read until the end");
      await app.logged("after");
      await stage.until("the last", async () => (await app.row())?.counted.at(-1) === "after");
      await atRest(stage, app);
      assert.deepEqual(await app.row(), {
        counted: [...names, "meanwhile", "after"],
        newest: "new",
      });
      assert.deepEqual(await app.row("two"), { counted: [], newest: "only there" });
      const { generation, building } = await app.bus.views(app.view).status();
      assert.deepEqual([generation, building], [2, undefined]);
      assert.deepEqual(await app.bus.deadLetters.list(), []);
    },
  },
  {
    id: "view.rebuild-fails",
    title:
      "a rebuild that fails, is given up or is overtaken leaves what is read as it was; what nobody gives again is not rebuilt",
    run: async (stage) => {
      const fills: (() => Promise<void>)[] = [];
      const app: Keeping = await keeping(stage, {
        backfill: async function* () {
          yield { contract: Changed, value: { key: "one", text: "half", version: 5 } };
          await fills.shift()?.();
        },
      });
      await app.changed("first", 1);
      await stage.until("the first", async () => (await app.row())?.newest === "first");
      const look = app.bus.views(app.view);
      fills.push(() => Promise.reject(new RangeError("planned")));
      await assert.rejects(look.rebuild(), RangeError);
      assert.equal((await look.status()).building, undefined);
      const giving = new AbortController();
      fills.push(async () => giving.abort(new RangeError("given up")));
      await assert.rejects(look.rebuild({ signal: giving.signal }), RangeError);
      fills.push(async () => {
        assert.ok((await look.status()).building !== undefined);
        const { store } = await stage.open();
        await store.views.begin("kept", [], 1);
      });
      await assert.rejects(look.rebuild(), { code: "LOCK_LOST" });
      fills.push(() => new Promise<never>(() => undefined));
      await assert.rejects(look.rebuild({ deadlineMs: 30 }), { code: "DEADLINE_EXCEEDED" });
      assert.equal((await app.row())?.newest, "first");
      const { generation } = await look.rebuild();
      assert.equal((await app.row())?.newest, "half");
      assert.equal((await look.status()).generation, generation);
      const { bus, view: other } = await keeping(stage);
      await assert.rejects(bus.views(other).rebuild(), {
        code: "NOT_SUPPORTED",
        message: /"kept.changed", "kept.gone", "kept.summed"/,
      });
    },
  },
];

/** As a reducer with a mistake would have left it. */
async function spoil(stage: StoreStage): Promise<void> {
  const { store } = await stage.open();
  await store.transaction(async ({ views }) => {
    const place = { view: "kept", key: "one", generation: 1 };
    const row = await views.load(place);
    const body = JSON.stringify({ counted: ["spoilt"] });
    await views.save(place, { key: "one", versions: "{}", changedAt: 1, ...row, body });
  });
}
