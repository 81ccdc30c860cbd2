import assert from "node:assert/strict";
import {
  type EventRow,
  type Outgoing,
  type ReplayedRow,
  type Store,
  systemEnvironment,
} from "@waybill/core";
import { reallyWait } from "../environment.ts";
import { append, decider, rowOf } from "./event-row.ts";
import type { StoreCase } from "./stage.ts";

async function replayed(store: Store, limit: number): Promise<readonly ReplayedRow[]> {
  const all: ReplayedRow[] = [];
  let until: string | undefined;
  for (;;) {
    const after = all.at(-1)?.position;
    const page = await store.events.replay({
      decider,
      limit,
      ...(after !== undefined && { after }),
      ...(until !== undefined && { until }),
    });
    ({ until } = page);
    assert.ok(page.rows.length <= limit);
    all.push(...page.rows);
    if (page.isComplete) return all;
    if (page.rows.length === 0) await reallyWait(2);
  }
}

/** Those of each stream in order, none twice and none missing. */
function assertWhole(rows: readonly EventRow[]): void {
  for (const [name, list] of Map.groupBy(rows, (row) => row.key))
    assert.deepEqual(
      list.map(({ version }) => version),
      list.map((_, index) => index + 1),
      `the stream ${name}`,
    );
}

function outgoing(id: string): Outgoing {
  return {
    to: { kind: "topic" as const, name: "bank" },
    envelope: {
      header: {
        specversion: "1.0" as const,
        id,
        source: "/services/bank",
        type: "bank.deposited",
        time: "2030-01-01T00:00:00.000Z",
        datacontenttype: "application/json",
        conversationid: id,
      },
      body: "{}",
    },
  };
}

export const eventReplayCases: readonly StoreCase[] = [
  {
    id: "event.replay",
    title:
      "all streams of a decider are replayed in pages, each in its order, up to what was committed",
    run: async (stage) => {
      const { store } = await stage.open();
      for (let version = 1; version <= 20; version++)
        for (const name of ["a-1", "a-2", "a-3"])
          await append(store, rowOf(version, { key: name }));
      await append(store, rowOf(1, { decider: "other" }));
      for (const limit of [1, 7, 60, 100]) {
        const rows = await replayed(store, limit);
        assert.equal(rows.length, 60);
        assertWhole(rows);
        assert.equal(new Set(rows.map(({ position }) => position)).size, 60);
      }
      const first = await store.events.replay({ decider, limit: 10 });
      await append(store, rowOf(21));
      const after = first.rows.at(-1)?.position ?? "";
      const rest = await store.events.replay({ decider, limit: 100, after, until: first.until });
      assert.equal(first.rows.length + rest.rows.length, 60);
      assert.equal(rest.isComplete, true);
      const last = rest.rows.at(-1)?.position ?? "";
      const news = await store.events.replay({ decider, limit: 100, after: last });
      assert.deepEqual(
        news.rows.map(({ version }) => version),
        [21],
      );
      for (const wrong of ["", "x", "-1", "1;2", "9".repeat(40)])
        await assert.rejects(store.events.replay({ decider, limit: 1, after: wrong }), {
          code: "OPTION_INVALID",
        });
    },
  },
  {
    id: "event.replay-holes",
    title:
      "nothing is given before which an open transaction may still write, and a stream keeps its order whoever began first",
    notFor: ({ concurrent }) => (concurrent ? undefined : "runs transactions one after another"),
    run: async (stage) => {
      const { store } = await stage.open();
      const begin = async () => {
        const began = Promise.withResolvers<void>();
        const rows = Promise.withResolvers<readonly EventRow[]>();
        const written = Promise.withResolvers<void>();
        const end = Promise.withResolvers<void>();
        const ended = store.transaction(async (transaction) => {
          // It has its number from here on.
          await transaction.claim("somewhere", systemEnvironment.id());
          began.resolve();
          assert.equal(await transaction.events.append(await rows.promise), true);
          written.resolve();
          await end.promise;
        });
        // A case that fails leaves none open.
        stage.closing(async () => {
          rows.resolve([]);
          end.resolve();
          await ended.catch(() => undefined);
        });
        await began.promise;
        return {
          append: (...list: readonly EventRow[]) => {
            rows.resolve(list);
            return written.promise;
          },
          commit: () => {
            end.resolve();
            return ended;
          },
        };
      };
      const other = { key: "b-1" };
      const early = await begin();
      const middle = await begin();
      const late = await begin();
      await middle.append(rowOf(1, other));
      await late.append(rowOf(1));
      await late.commit();
      // Committed, and behind what is not yet.
      const held = await store.events.replay({ decider, limit: 10 });
      assert.deepEqual([held.rows, held.isComplete], [[], false]);
      await early.append(rowOf(2));
      await early.commit();
      await middle.commit();
      const rows = await replayed(store, 10);
      assertWhole(rows);
      assert.equal(rows.length, 3);
    },
  },
  {
    id: "event.replay-concurrent",
    title:
      "who goes on behind the last event it has seen misses none, while transactions commit in another order than they began",
    run: async (stage) => {
      const [left, right] = [await stage.open(), await stage.open()];
      const names = Array.from({ length: 8 }, (_, at) => `c-${at}`);
      const perKey = 12;
      let isOver = false;
      const write = async (name: string, at: number): Promise<void> => {
        const { store } = at % 2 === 0 ? left : right;
        for (let version = 1; version <= perKey; version++) {
          await store.transaction(async (transaction) => {
            const { events } = transaction;
            // It takes its number here, and commits it later than others that began after it.
            await transaction.claim("somewhere", `${name} ${version}`);
            await reallyWait((at * 7 + version * 3) % 5);
            const isDone = await events.append([rowOf(version, { key: name })]);
            assert.ok(isDone);
            await reallyWait((at * 3 + version * 5) % 7);
          });
        }
      };
      const seen: ReplayedRow[] = [];
      const reading = (async () => {
        for (;;) {
          const isLast = isOver;
          const after = seen.at(-1)?.position;
          const page = await left.store.events.replay({
            decider,
            limit: 5,
            ...(after !== undefined && { after }),
          });
          seen.push(...page.rows);
          if (isLast && page.isComplete) return;
          if (page.rows.length === 0) await reallyWait(1);
        }
      })();
      const written = await Promise.allSettled(names.map(write));
      isOver = true;
      await reading;
      assert.deepEqual(
        written.map(({ status }) => status),
        names.map(() => "fulfilled"),
      );
      assert.equal(seen.length, names.length * perKey);
      assertWhole(seen);
    },
  },
  {
    id: "event.outbox-stream",
    title:
      "the outbox says which messages of a stream wait, whoever wrote them, and to whom it was behind",
    run: async (stage) => {
      const [left, right] = [await stage.open(), await stage.open()];
      const say = ({ store }: { readonly store: Store }, ids: readonly string[], stream?: string) =>
        store.transaction(async (transaction) => {
          await transaction.append(ids.map(outgoing), stream);
        });
      await say(left, ["1", "2"], "bank a");
      await say(left, ["other"], "bank b");
      await say(left, ["none"]);
      await say(right, ["3"], "bank a");
      assert.deepEqual(
        left.told.map(({ stream, isBehind }) => [stream, isBehind]),
        [
          ["bank a", false],
          ["bank a", false],
          ["bank b", false],
          [undefined, undefined],
        ],
      );
      assert.deepEqual(
        right.told.map(({ stream, isBehind }) => [stream, isBehind]),
        [["bank a", true]],
      );
      const keys = [...left.told.slice(0, 2), ...right.told].map((row) => row.key);
      const waiting = await right.store.outbox.streams(["bank a", "bank c"]);
      assert.deepEqual([...waiting], [["bank a", keys]]);
      const own = await left.store.outbox.own(10);
      assert.deepEqual(
        own.map(({ stream, isBehind }) => [stream, isBehind]),
        [
          ["bank a", true],
          ["bank a", true],
          ["bank b", true],
          [undefined, undefined],
        ],
      );
      const failure = { reason: "UNROUTABLE", message: "planned" };
      const [first, second] = left.told;
      assert.ok(first !== undefined && second !== undefined);
      await left.store.outbox.setAside(first, failure);
      assert.deepEqual((await right.store.outbox.streams(["bank a"])).get("bank a"), keys.slice(1));
      await left.store.outbox.sent([second]);
      assert.deepEqual((await right.store.outbox.streams(["bank a"])).get("bank a"), keys.slice(2));
      await right.store.outbox.sent(right.told);
      assert.deepEqual([...(await left.store.outbox.streams(["bank a"]))], []);
    },
  },
];
