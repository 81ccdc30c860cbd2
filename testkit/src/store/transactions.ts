import assert from "node:assert/strict";
import { type StoreCase, outgoing, texts } from "./stage.ts";

const wrong = new Error("planned");

export const transactionCases: readonly StoreCase[] = [
  {
    id: "transaction.commit",
    title:
      "what a transaction wrote, recorded and sent is committed together, and told before it resolves",
    run: async (stage) => {
      const { store, told } = await stage.open();
      const answer = await store.transaction(async (transaction) => {
        await stage.write(transaction.client, "a");
        assert.equal(await transaction.claim("orders", "m-1"), true);
        await transaction.append([outgoing("one"), outgoing("two")]);
        return 42;
      });
      assert.equal(answer, 42);
      assert.deepEqual(texts(told), ["one", "two"]);
      assert.deepEqual(await stage.subject.written(), ["a"]);
      assert.deepEqual(texts(await store.outbox.own(10)), ["one", "two"]);
      const again = await store.transaction((transaction) => transaction.claim("orders", "m-1"));
      assert.equal(again, false);
    },
  },
  {
    id: "transaction.rollback",
    title: "nothing stays of a transaction that fails, and its error comes as it was thrown",
    run: async (stage) => {
      const { store, told } = await stage.open();
      const failing = store.transaction(async (transaction) => {
        await stage.write(transaction.client, "a");
        await transaction.claim("orders", "m-1");
        await transaction.append([outgoing("one")]);
        throw wrong;
      });
      await assert.rejects(failing, (error) => error === wrong);
      assert.deepEqual(told, []);
      assert.deepEqual(await stage.subject.written(), []);
      assert.deepEqual(await store.outbox.own(10), []);
      assert.equal(await store.transaction((each) => each.claim("orders", "m-1")), true);
    },
  },
  {
    id: "transaction.neighbours",
    title: "of a hundred at once each stands or falls alone",
    run: async (stage) => {
      const { store, told } = await stage.open();
      const names = Array.from({ length: 100 }, (_, index) => String(index).padStart(2, "0"));
      const isGood = (name: string): boolean => Number(name) % 3 !== 0;
      const ends = await Promise.allSettled(
        names.map((name) =>
          store.transaction(async (transaction) => {
            await transaction.claim("orders", name);
            await stage.write(transaction.client, name);
            await Promise.resolve();
            await transaction.append([outgoing(name)]);
            if (!isGood(name)) throw wrong;
          }),
        ),
      );
      const good = names.filter(isGood);
      assert.equal(ends.filter(({ status }) => status === "fulfilled").length, good.length);
      assert.deepEqual(await stage.subject.written(), good);
      assert.deepEqual(texts(told).toSorted(), good);
      assert.deepEqual(texts(await store.outbox.own(100)).toSorted(), good);
    },
  },
  {
    id: "transaction.ended",
    title: "what is left of a transaction that has ended writes nothing",
    run: async (stage) => {
      const { store } = await stage.open();
      const { client } = await store.transaction((transaction) => ({ client: transaction.client }));
      await assert.rejects(async () => stage.write(client, "late"));
      assert.deepEqual(await stage.subject.written(), []);
    },
  },
  {
    id: "transaction.closed",
    title: "a store that is closed refuses, and closes once",
    run: async (stage) => {
      const { store } = await stage.open();
      await store[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      await assert.rejects(
        store.transaction(() => 1),
        { code: "CLOSED" },
      );
    },
  },
  {
    id: "inbox.once",
    title:
      "of several processes that claim a message at once one gets it, and the others wait for how it ends",
    run: async (stage) => {
      const [left, right] = [await stage.open(), await stage.open()];
      for (let round = 0; round < 10; round++) {
        const isFailing = round % 2 === 0;
        const name = `m-${round}`;
        const claims = [left, right, left, right].map(({ store }, index) =>
          store.transaction(async (transaction) => {
            if (!(await transaction.claim("orders", name))) return false;
            await stage.write(transaction.client, name);
            if (isFailing && index < 2) throw wrong;
            return true;
          }),
        );
        const ends = await Promise.allSettled(claims);
        const wins = ends.filter((end) => end.status === "fulfilled" && end.value);
        assert.equal(wins.length, 1, `round ${round}: ${JSON.stringify(ends)}`);
      }
      assert.equal((await stage.subject.written()).length, 10);
    },
  },
  {
    id: "inbox.addresses",
    title: "the same message at two addresses is two messages",
    run: async (stage) => {
      const { store } = await stage.open();
      const claim = (address: string): Promise<boolean> =>
        store.transaction((transaction) => transaction.claim(address, "m-1"));
      assert.deepEqual(
        [await claim("events/a"), await claim("events/b"), await claim("events/a")],
        [true, true, false],
      );
    },
  },
];
