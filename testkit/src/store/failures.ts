import assert from "node:assert/strict";
import { WaybillError, memory } from "@waybill/core";
import { withFaults } from "../faults.ts";
import { type Application, Done, application } from "./application.ts";
import type { StoreCase, StoreStage } from "./stage.ts";

const names: readonly string[] = Array.from({ length: 12 }, (_, index) => `t-${10 + index}`);

export const failureStoreCases: readonly StoreCase[] = [
  {
    id: "failure.redelivered",
    title:
      "messages that come twice, and whose settlements are lost, have their effect once and leave with one id each",
    run: async (stage) => {
      const plan = { duplicate: 0.4, dropSettlement: 0.4, loseAnswer: 0.2 };
      const app = await application(stage, {}, withFaults(memory(), { seed: 11, plan }));
      for (const name of names) await app.send(name);
      await everywhere(stage, app, names);
      const { contracts } = await app.bus.health();
      assert.ok((contracts["store-suite.work"]?.repeated ?? 0) > 0);
    },
  },
  {
    id: "failure.handler",
    title: "nothing stays of the runs that failed, and nothing of them leaves",
    run: async (stage) => {
      const left = new Map(names.map((name) => [name, 3]));
      const app = await application(stage, {
        beforeCommit: (text) => {
          const times = left.get(text) ?? 0;
          left.set(text, times - 1);
          if (times > 0) throw new Error("planned");
        },
      });
      for (const name of names) await app.send(name);
      await everywhere(stage, app, names);
      assert.equal(app.runs.length, names.length * 4);
      assert.equal(app.arrived.length, names.length);
    },
  },
  {
    id: "failure.lock-lost",
    title: "whoever lost the lock before the commit commits nothing",
    run: async (stage) => {
      let lost = 0;
      const app = await application(stage, {
        inHandler: (_text, delivery) => {
          lost += 1;
          if (lost > 3) return;
          delivery?.onLockLost?.();
          void delivery?.settle({ kind: "release" });
        },
      });
      for (const name of names) await app.send(name);
      await everywhere(stage, app, names);
      assert.equal(app.arrived.length, names.length);
      assert.equal(app.runs.length, names.length + 3);
    },
  },
  {
    id: "failure.store-down",
    title: "while the store is down its messages wait and come again",
    run: async (stage) => {
      let failures = 8;
      const app = await application(stage, {
        beforeBegin: () => {
          failures -= 1;
          if (failures >= 0) throw storageFailed();
        },
      });
      for (const name of names) await app.send(name);
      await everywhere(stage, app, names);
      assert.ok(failures < 0, "it was never down");
    },
  },
  {
    id: "failure.commit",
    title: "a commit that fails is no success: nothing leaves, and the message comes again",
    run: async (stage) => {
      let failures = 3;
      const app = await application(stage, {
        atCommit: () => {
          failures -= 1;
          if (failures >= 0) throw storageFailed();
        },
      });
      for (const name of names) await app.send(name);
      await everywhere(stage, app, names);
      assert.ok(failures < 0, "no commit failed");
      assert.equal(app.arrived.length, names.length);
    },
  },
  {
    id: "failure.commit-unknown",
    title:
      "a commit whose answer is lost is done once, whether it was stored or not, and no dead letter",
    run: async (stage) => {
      const unknown = (): WaybillError =>
        new WaybillError("COMMIT_UNKNOWN", "The answer is lost.", { retryable: true });
      let stored = 4;
      let notStored = 4;
      const app = await application(stage, {
        beforeCommit: () => {
          notStored -= 1;
          if (notStored >= 0) throw unknown();
        },
        afterCommit: () => {
          stored -= 1;
          if (stored >= 0) throw unknown();
        },
      });
      for (const name of names) await app.send(name);
      await everywhere(stage, app, names);
      assert.ok(stored < 0 && notStored < 0, "no answer was lost");
      assert.equal(app.runs.length, names.length + 4);
      assert.deepEqual(await app.bus.deadLetters.list(), []);
    },
  },
  {
    id: "failure.broker-down",
    title:
      "while the broker is down commits go on, health tells their age, and afterwards all leaves in order",
    run: async (stage) => {
      let isDown = true;
      const app = await application(stage, {
        beforeSend: (batch) => {
          if (isDown && batch.some(({ to }) => to.kind === "topic"))
            throw new WaybillError("TRANSPORT_FAILED", "The broker is down.", { retryable: true });
        },
      });
      for (const name of names) {
        await app.send(name);
        await stage.until("the commit", async () => (await stage.subject.written()).includes(name));
      }
      await stage.until("an alarm", async () => (await app.bus.health()).status === "degraded");
      const { stores, reasons } = await app.bus.health();
      assert.equal(stores[0]?.waiting, names.length);
      assert.match(reasons.join(), /12 committed messages are not sent/);
      assert.deepEqual(app.arrived, []);
      isDown = false;
      await everywhere(stage, app, names);
      assert.deepEqual(
        app.arrived.map(({ text }) => text),
        names,
      );
      await stage.until("a clean bill", async () => (await app.bus.health()).status === "up");
    },
  },
  {
    id: "failure.refused",
    title:
      "a message that the broker refuses stands aside, holds nobody back, and leaves when the cause is mended",
    run: async (stage) => {
      let isRefusing = true;
      const app = await application(stage, {
        beforeSend: (batch) => {
          if (isRefusing && batch.some(({ envelope }) => String(envelope.body).includes("t-13")))
            if (batch[0]?.to.kind === "topic")
              throw new WaybillError("UNROUTABLE", "There is no such topic.");
        },
      });
      for (const name of names) await app.send(name);
      const others = names.filter((name) => name !== "t-13");
      await stage.until("the others", () => app.arrived.length === others.length);
      await stage.until(
        "it stands aside",
        async () => (await app.bus.outbox.refused()).length === 1,
      );
      const refused = await app.bus.outbox.refused();
      assert.equal(refused[0]?.failure.reason, "UNROUTABLE");
      assert.equal((await app.bus.health()).status, "degraded");
      isRefusing = false;
      assert.equal(await app.bus.outbox.retry(refused), 1);
      await everywhere(stage, app, names);
      assert.deepEqual(await app.bus.outbox.refused(), []);
    },
  },
  {
    id: "failure.sent-not-marked",
    title:
      "what was sent and not marked when its process died is sent again by another, with the same ids",
    run: async (stage) => {
      const forever = new Promise<void>(() => undefined);
      const dead = await application(stage, { instead: () => forever });
      for (const name of names) await dead.send(name);
      await stage.until("all of it", () => dead.arrived.length === names.length);
      const { store } = await stage.open();
      await stage.until("a takeover", async () => {
        await stage.subject.expire();
        return (await store.outbox.renew(30_000)).taken;
      });
      const again = await store.outbox.own(100);
      // Transactions that ran at the same time have no order among them.
      assert.deepEqual(
        again.map(({ outgoing }) => outgoing.envelope.header.id).toSorted(),
        dead.arrived.map(({ id }) => id).toSorted(),
      );
    },
  },
  {
    id: "failure.two-relays",
    title: "two processes of a store send what they committed, each of it once",
    run: async (stage) => {
      const [left, right] = [await application(stage), await application(stage)];
      await Promise.all(names.flatMap((name) => [left.send(`l${name}`), right.send(`r${name}`)]));
      const all = names.flatMap((name) => [`l${name}`, `r${name}`]);
      await stage.until("all", () => left.arrived.length + right.arrived.length >= all.length);
      for (const { bus } of [left, right])
        await stage.until("empty", async () => (await bus.health()).stores[0]?.waiting === 0);
      assert.deepEqual(await stage.subject.written(), all.toSorted());
      assert.deepEqual(
        [...left.arrived, ...right.arrived].map(({ text }) => text).toSorted(),
        all.toSorted(),
      );
    },
  },
  {
    id: "failure.outside",
    title: "bus.transaction commits and publishes, or neither",
    run: async (stage) => {
      const app = await application(stage);
      await app.bus.transaction(app.store, async ({ client, publish }) => {
        await stage.write(client, "a");
        await publish(Done, { text: "a" });
      });
      const failing = app.bus.transaction(app.store, async ({ client, publish }) => {
        await stage.write(client, "b");
        await publish(Done, { text: "b" });
        throw new RangeError("planned");
      });
      await assert.rejects(failing, RangeError);
      await everywhere(stage, app, ["a"]);
    },
  },
];

/** Each has its effect once and arrived, under one id however often; nothing else did; and nothing is left. */
async function everywhere(
  stage: StoreStage,
  app: Application,
  wanted: readonly string[],
): Promise<void> {
  const { subject } = stage;
  await stage.until("everything", async () => {
    const arrived = new Set(app.arrived.map(({ text }) => text));
    return arrived.size >= wanted.length && (await subject.written()).length >= wanted.length;
  });
  await stage.until("rest", async () => {
    const { stores, addresses } = await app.bus.health();
    const isAtRest = addresses.every(
      ({ ready, inFlight = 0, scheduled = 0 }) => ready + inFlight + scheduled === 0,
    );
    return isAtRest && stores.every(({ waiting }) => waiting === 0);
  });
  assert.deepEqual(await subject.written(), wanted.toSorted());
  const ids = new Map(app.arrived.map(({ id, text }) => [id, text]));
  assert.deepEqual([...ids.values()].toSorted(), wanted.toSorted());
}

function storageFailed(): WaybillError {
  return new WaybillError("STORAGE_FAILED", "The store is down.", { retryable: true });
}
