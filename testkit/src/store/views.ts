import assert from "node:assert/strict";
import { type ViewRow, WaybillError, memory } from "@waybill/core";
import { withFaults } from "../faults.ts";
import { Changed, type Kept, type Keeping, Logged, keeping } from "./keeping.ts";
import type { StoreCase, StoreStage } from "./stage.ts";

const names: readonly string[] = Array.from({ length: 24 }, (_, index) => `t-${10 + index}`);

export const viewCases: readonly StoreCase[] = [
  {
    id: "view.concurrent",
    title: "messages of one row that come at once, in two processes, are each taken once",
    run: async (stage) => {
      const transport = memory();
      const left = await keeping(stage, { transport });
      const right = await keeping(stage, { transport });
      await Promise.all(names.map((name) => left.summed(name)));
      await everything(stage, left);
      assert.deepEqual(await right.row(), await left.row());
      assert.deepEqual(await left.bus.deadLetters.list(), []);
      assert.equal((await left.bus.health()).contracts["kept.summed"]?.failed, 0);
    },
  },
  {
    id: "view.redelivered",
    title: "messages that come twice, and whose settlements are lost, are taken once",
    run: async (stage) => {
      const plan = { duplicate: 0.4, dropSettlement: 0.4, loseAnswer: 0.2 };
      const app = await keeping(stage, { transport: withFaults(memory(), { seed: 7, plan }) });
      for (const name of names) await app.summed(name);
      await everything(stage, app);
      for (const name of names) await app.logged(name, "log");
      await everything(stage, app, "log");
      assert.deepEqual((await app.row("log"))?.counted, names, "in the order of the stream");
    },
  },
  {
    id: "view.crash",
    title: "a run that ends before its commit has changed nothing, one that ends after it has",
    run: async (stage) => {
      const unknown = (): WaybillError =>
        new WaybillError("COMMIT_UNKNOWN", "The answer is lost.", { retryable: true });
      const left = { before: 5, at: 3, after: 5 };
      const app = await keeping(stage, {
        trouble: {
          beforeCommit: () => {
            if (left.before-- > 0) throw new Error("planned");
          },
          atCommit: () => {
            if (left.before < 0 && left.at-- > 0) throw unknown();
          },
          afterCommit: () => {
            if (left.after-- > 0) throw unknown();
          },
        },
      });
      for (const name of names) await app.summed(name);
      await everything(stage, app);
      assert.ok(left.at < 0 && left.after < 0);
      assert.deepEqual(await app.bus.deadLetters.list(), []);
    },
  },
  {
    id: "view.order",
    title: "what is older than its row changes nothing, nor does it bring back what was removed",
    run: async (stage) => {
      const app = await keeping(stage);
      const { length } = names;
      const order = names.map((name, index) => ({ name, version: index + 1 }));
      const shuffled = order.toSorted(
        (one, other) => ((one.version * 7) % length) - ((other.version * 7) % length),
      );
      for (const { name, version } of [...shuffled, ...shuffled.toReversed()])
        await app.changed(name, version);
      await atRest(stage, app);
      assert.equal((await app.row())?.newest, names.at(-1));
      await app.gone(length);
      await atRest(stage, app);
      assert.equal((await app.row())?.newest, names.at(-1), "of one version the first stays");
      await app.gone(length + 2);
      for (const { name, version } of order) await app.changed(name, version);
      await app.changed("late", length + 1);
      await atRest(stage, app);
      assert.equal(await app.row(), undefined);
      assert.deepEqual((await app.bus.views(app.view).list()).rows, []);
      await app.changed("new", length + 3);
      await stage.until("the new one", async () => (await app.row())?.newest === "new");
      assert.deepEqual(await app.bus.deadLetters.list(), []);
    },
  },
  {
    id: "view.position",
    title: "items of a stream that is read again from its start are not taken again",
    run: async (stage) => {
      const app = await keeping(stage);
      for (const name of names) await app.logged(name);
      await everything(stage, app);
      await app.bus.streams.seek(Logged, app.view, "start");
      await app.logged("last");
      await stage.until(
        "the last",
        async () => (await app.row())?.counted.length === names.length + 1,
      );
      await atRest(stage, app);
      assert.deepEqual((await app.row())?.counted, [...names, "last"]);
      const { sources } = await app.bus.views(app.view).status();
      const log = sources.find(({ contract }) => contract === "kept.logged");
      assert.deepEqual([log?.applied, log?.waiting], [names.length + 1, 0]);
      assert.equal(
        log?.offsets.reduce((sum, { offset }) => sum + offset + 1, 0),
        names.length + 1,
      );
    },
  },
  {
    id: "view.wait",
    title:
      "who waits for a message resolves when it is in the view, in this process and in another, and is told when it is not in time",
    run: async (stage) => {
      const transport = memory();
      let isHeld = true;
      const app = await keeping(stage, {
        transport,
        trouble: {
          beforeCommit: () => {
            if (isHeld) throw new Error("planned");
          },
        },
      });
      const { id } = await app.summed("a");
      const wait = (deadlineMs: number): Promise<void> =>
        app.bus.views().waitFor(app.view, { id }, { deadlineMs });
      await assert.rejects(wait(60), { code: "VIEW_BEHIND", retryable: true });
      const waiting = wait(15_000).then(() => app.row());
      isHeld = false;
      assert.deepEqual((await waiting)?.counted, ["a"]);
      await wait(1);
      await assert.rejects(app.bus.views(app.view).waitFor({ id: "never" }, { deadlineMs: 30 }), {
        code: "VIEW_BEHIND",
      });
      const aborted = AbortSignal.abort(new RangeError("planned"));
      await assert.rejects(
        app.bus.views(app.view).waitFor({ id }, { signal: aborted }),
        RangeError,
      );
    },
  },
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
  {
    id: "view.corrupt",
    title:
      "a row that somebody else has written is refused, left as it is, and taken when it is mended",
    run: async (stage) => {
      const app = await keeping(stage);
      const { store } = await stage.open();
      const key = { view: "kept", key: "one", generation: 1 };
      const wrong: readonly Partial<ViewRow>[] = [
        { body: "no json" },
        { body: "7" },
        { body: '{"counted":[],"__proto__":{}}' },
        { body: `{"counted":["${"x".repeat(300_000)}"]}` },
        { versions: "no json" },
        { versions: "[]" },
        { versions: '{"kept":"1"}' },
      ];
      const sound: ViewRow = { key: "one", body: '{"counted":[]}', versions: "{}", changedAt: 1 };
      const put = (row: ViewRow): Promise<void> =>
        store.transaction(async ({ views }) => {
          await views.load(key);
          await views.save(key, row);
        });
      for (const [index, change] of wrong.entries()) {
        const bad = { ...sound, ...change };
        await put(bad);
        await assert.rejects(app.row(), { code: "STATE_INVALID" });
        await assert.rejects(app.bus.views(app.view).list(), { code: "STATE_INVALID" });
        await app.summed(`w-${index}`);
        await stage.until("a failed run", async () => {
          const { contracts } = await app.bus.health();
          return (contracts["kept.summed"]?.failed ?? 0) > 0;
        });
        assert.deepEqual(await store.views.find(key), bad);
      }
      await put(sound);
      await stage.until("all", async () => (await app.row())?.counted.length === wrong.length);
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

/** Each is taken once; nothing is left. */
async function everything(stage: StoreStage, app: Keeping, key = "one"): Promise<void> {
  await stage.until(
    "everything",
    async () => ((await app.row(key))?.counted.length ?? 0) >= names.length,
  );
  await atRest(stage, app);
  assert.deepEqual([...((await app.row(key))?.counted ?? [])].toSorted(), names);
}

function atRest(stage: StoreStage, { bus }: Keeping): Promise<void> {
  return stage.until("rest", async () => {
    const { addresses } = await bus.health();
    return addresses.every(
      ({ ready, inFlight = 0, scheduled = 0 }) => ready + inFlight + scheduled === 0,
    );
  });
}
