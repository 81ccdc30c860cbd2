import assert from "node:assert/strict";
import { type ViewRow, WaybillError, connect, memory, service } from "@waybill/core";
import { withFaults } from "../faults.ts";
import { Logged, atRest, everything, keeping, names } from "./keeping.ts";
import type { StoreCase } from "./stage.ts";
import { viewRebuildCases } from "./view-rebuilds.ts";

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
      const reader = await connect({
        transport: memory(),
        services: [service("reader", { views: [app.view] })],
        logger: stage.logger,
      });
      stage.closing(() => reader.close());
      const elsewhere = reader
        .views(app.view)
        .waitFor({ id }, { deadlineMs: 15_000 })
        .then(() => reader.views(app.view).get("one"));
      isHeld = false;
      assert.deepEqual((await elsewhere)?.counted, ["a"]);
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
  ...viewRebuildCases,
];
