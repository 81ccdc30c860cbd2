import assert from "node:assert/strict";
import type { OutboxRow, Store } from "@waybill/core";
import { type StoreCase, type StoreStage, outgoing, texts } from "./stage.ts";

const leaseMs = 30_000;

export const outboxCases: readonly StoreCase[] = [
  {
    id: "outbox.whole",
    title: "a message is read as it was written: header, text, bytes, destination and times",
    run: async (stage) => {
      const { store, told } = await stage.open();
      const base = outgoing('grüße \u{1f600} "quoted"');
      const header = {
        ...base.envelope.header,
        partitionkey: "k",
        attributes: { region: "EU", total: 1.5, vip: true },
      };
      const batch = [
        { ...base, envelope: { header, body: base.envelope.body } },
        { ...base, envelope: { header, body: Uint8Array.from([0, 1, 255]) } },
        outgoing("", { to: { kind: "topic", name: "events" }, notBefore: 1_900_000_000_000 }),
        outgoing("x".repeat(300_000), {
          to: { kind: "stream", name: "s" },
          notAfter: 1_900_000_000_001,
        }),
      ];
      await store.transaction((transaction) => transaction.append(batch));
      const read = (await store.outbox.own(10)).map((row) => plain(row));
      assert.deepEqual(
        read,
        batch.map((each) => plain({ outgoing: each })),
      );
      assert.deepEqual(
        told.map((row) => plain(row)),
        read,
      );
    },
  },
  {
    id: "outbox.order",
    title: "rows come in the order of writing, and what was sent comes no more",
    run: async (stage) => {
      const { store } = await stage.open();
      const names = Array.from({ length: 30 }, (_, index) => String(index));
      for (const name of names) await append(store, name);
      const state = await store.outbox.state();
      assert.deepEqual([state.waiting, state.aside], [30, 0]);
      const first = await store.outbox.own(10);
      assert.deepEqual(texts(first), names.slice(0, 10));
      await store.outbox.sent(first);
      assert.deepEqual(texts(await store.outbox.own(100)), names.slice(10));
      await store.outbox.sent(await store.outbox.own(100));
      assert.deepEqual(await store.outbox.state(), { waiting: 0, oldestMs: 0, aside: 0 });
    },
  },
  {
    id: "outbox.kinds",
    title: "rows for one kind of destination are found behind any number of others, in their order",
    run: async (stage) => {
      const { store } = await stage.open();
      const to = { kind: "topic", name: "events" } as const;
      const events = Array.from({ length: 20 }, (_, index) => outgoing(`e${index}`, { to }));
      await store.transaction((transaction) => transaction.append(events));
      const stream = { kind: "stream", name: "log" } as const;
      await append(store, "a");
      await store.transaction((transaction) =>
        transaction.append([outgoing("item", { to: stream }), outgoing("last", { to })]),
      );
      await append(store, "b");
      assert.deepEqual(texts(await store.outbox.own(10, ["queue"])), ["a", "b"]);
      assert.deepEqual(texts(await store.outbox.own(1, ["queue"])), ["a"]);
      assert.deepEqual(texts(await store.outbox.own(10, ["stream", "queue"])), ["a", "item", "b"]);
      assert.deepEqual(texts(await store.outbox.own(2, ["topic"])), ["e0", "e1"]);
      assert.equal((await store.outbox.own(100)).length, 24);
    },
  },
  {
    id: "outbox.overlap",
    title: "a transaction that begins first and commits last is not passed over",
    notFor: ({ concurrent }) => (concurrent ? undefined : "runs transactions one after another"),
    run: async (stage) => {
      const { store } = await stage.open();
      const wrote = Promise.withResolvers<void>();
      const may = Promise.withResolvers<void>();
      const slow = store.transaction(async (transaction) => {
        await transaction.append([outgoing("slow")]);
        wrote.resolve();
        await may.promise;
      });
      await wrote.promise;
      await append(store, "fast");
      const rows = await store.outbox.own(10);
      assert.deepEqual(texts(rows), ["fast"]);
      await store.outbox.sent(rows);
      may.resolve();
      await slow;
      assert.deepEqual(texts(await store.outbox.own(10)), ["slow"]);
    },
  },
  {
    id: "outbox.living",
    title: "rows of a living process are not another's",
    run: async (stage) => {
      const [left, right] = [await stage.open(), await stage.open()];
      await append(left.store, "a");
      const { taken, lost } = await right.store.outbox.renew(leaseMs);
      assert.deepEqual([taken, lost], [false, false]);
      assert.deepEqual(await right.store.outbox.own(10), []);
      assert.deepEqual(texts(await left.store.outbox.own(10)), ["a"]);
    },
  },
  {
    id: "outbox.takeover",
    title:
      "one process takes all rows of a dead one, in order, and a dead one that wakes has none of them",
    run: async (stage) => {
      const [dead, second, third] = [await stage.open(), await stage.open(), await stage.open()];
      for (const name of ["a", "b", "c"]) await append(dead.store, name);
      await dead.store.outbox.renew(1);
      await takeOver(stage, second.store);
      assert.equal((await third.store.outbox.renew(leaseMs)).taken, false);
      assert.deepEqual(texts(await second.store.outbox.own(10)), ["a", "b", "c"]);
      assert.deepEqual(await third.store.outbox.own(10), []);
      assert.equal((await dead.store.outbox.renew(leaseMs)).lost, true);
      await append(dead.store, "d");
      assert.deepEqual(texts(await dead.store.outbox.own(10)), ["d"]);
      await second.store.outbox.renew(1);
      await takeOver(stage, third.store);
      assert.deepEqual(texts(await third.store.outbox.own(10)), ["a", "b", "c"]);
    },
  },
  {
    id: "outbox.forgotten",
    title: "a process that was taken for dead and forgotten commits nothing that nobody would send",
    run: async (stage) => {
      const [stalled, other] = [await stage.open(), await stage.open()];
      await stalled.store.outbox.renew(1);
      await takeOver(stage, other.store);
      await other.store.outbox.renew(leaseMs);
      const ended = await Promise.allSettled([append(stalled.store, "late")]);
      if (ended[0]?.status === "rejected") {
        assert.equal((ended[0].reason as { retryable?: boolean }).retryable, true);
        assert.equal((await stalled.store.outbox.renew(leaseMs)).lost, true);
        await append(stalled.store, "late");
        assert.deepEqual(texts(await stalled.store.outbox.own(10)), ["late"]);
      } else assert.deepEqual(texts(await other.store.outbox.own(10)), ["late"]);
    },
  },
  {
    id: "outbox.left",
    title:
      "what a closed store leaves is another's at once, and the next one's after all have gone",
    run: async (stage) => {
      const first = await stage.open();
      await append(first.store, "a");
      await first.store[Symbol.asyncDispose]();
      const second = await stage.open();
      await second.store.outbox.renew(leaseMs);
      assert.deepEqual(texts(await second.store.outbox.own(10)), ["a"]);
    },
  },
  {
    id: "outbox.aside",
    title:
      "what is refused stands aside with its reason, holds nobody back, and can be sent again or discarded",
    run: async (stage) => {
      const { store } = await stage.open();
      for (const name of ["a", "b", "c", "d"]) await append(store, name);
      const [a, , c] = await store.outbox.own(10);
      const failure = { reason: "UNROUTABLE", message: "no such queue" };
      for (const row of [a, c]) await store.outbox.setAside(row as OutboxRow, failure);
      assert.deepEqual(texts(await store.outbox.own(10)), ["b", "d"]);
      const aside = await store.outbox.aside({ limit: 10 });
      assert.deepEqual(texts(aside), ["a", "c"]);
      assert.deepEqual(aside[0]?.failure, failure);
      assert.deepEqual(texts(await store.outbox.aside({ limit: 10, after: aside[0]?.key ?? 0 })), [
        "c",
      ]);
      const state = await store.outbox.state();
      assert.deepEqual([state.waiting, state.aside], [2, 2]);
      const keys = aside.map(({ key }) => key);
      assert.equal(await store.outbox.retry(keys.slice(0, 1)), 1);
      assert.deepEqual(texts(await store.outbox.own(10)), ["b", "d", "a"]);
      assert.equal(await store.outbox.discard(keys), 1);
      assert.deepEqual(await store.outbox.aside({ limit: 10 }), []);
      assert.equal((await store.outbox.own(10)).length, 3);
    },
  },
];

async function append(store: Store, text: string): Promise<void> {
  await store.transaction((transaction) => transaction.append([outgoing(text)]));
}

function takeOver(stage: StoreStage, store: Store): Promise<void> {
  return stage.until("a takeover", async () => (await store.outbox.renew(leaseMs)).taken);
}

function plain({ outgoing: { envelope, ...rest } }: Pick<OutboxRow, "outgoing">): unknown {
  const { header, body } = envelope;
  return { ...rest, header, body: typeof body === "string" ? body : [...body] };
}
