import assert from "node:assert/strict";
import { type SagaRow, WaybillError, memory } from "@waybill/core";
import { withFaults } from "../faults.ts";
import type { StoreCase, StoreStage } from "./stage.ts";
import { type Tallying, tallying } from "./tally.ts";

const names: readonly string[] = Array.from({ length: 24 }, (_, index) => `t-${10 + index}`);

export const sagaCases: readonly StoreCase[] = [
  {
    id: "saga.concurrent",
    title:
      "events of one saga that come at once, in two processes, are each taken once, none as a failure",
    run: async (stage) => {
      const transport = memory();
      const left = await tallying(stage, { transport });
      await tallying(stage, { transport });
      await left.opened("one");
      await started(stage, left);
      await Promise.all(names.map((name) => left.counted("one", name)));
      await everything(stage, left);
      assert.deepEqual(await left.bus.deadLetters.list(), []);
      const { contracts } = await left.bus.health();
      assert.equal(contracts["tally.counted"]?.failed, 0);
    },
  },
  {
    id: "saga.redelivered",
    title: "events that come twice, and whose settlements are lost, move their saga once",
    run: async (stage) => {
      const plan = { duplicate: 0.4, dropSettlement: 0.4, loseAnswer: 0.2 };
      const app = await tallying(stage, { transport: withFaults(memory(), { seed: 7, plan }) });
      await app.opened("one");
      await started(stage, app);
      for (const name of names) await app.counted("one", name);
      await everything(stage, app);
    },
  },
  {
    id: "saga.crash",
    title: "a run that ends before its commit has not moved the saga, one that ends after it has",
    run: async (stage) => {
      const unknown = (): WaybillError =>
        new WaybillError("COMMIT_UNKNOWN", "The answer is lost.", { retryable: true });
      let before = 5;
      let after = 5;
      const app = await tallying(stage, {
        trouble: {
          beforeCommit: () => {
            before -= 1;
            if (before >= 0) throw new Error("planned");
          },
          atCommit: () => {
            if (before < 0 && before > -4) {
              before -= 1;
              throw unknown();
            }
          },
          afterCommit: () => {
            after -= 1;
            if (after >= 0) throw unknown();
          },
        },
      });
      await app.opened("one");
      await started(stage, app);
      for (const name of names) await app.counted("one", name);
      await everything(stage, app);
      assert.deepEqual(await app.bus.deadLetters.list(), []);
    },
  },
  {
    id: "saga.start-twice",
    title:
      "of many that start one saga at once one does; the others go by its rule and reset nothing",
    run: async (stage) => {
      const app = await tallying(stage, { rules: { unexpected: "ignore" } });
      await Promise.all(names.map(() => app.opened("one")));
      await app.counted("one", "t-10");
      await stage.until("the count", async () => (await app.state("one"))?.length === 1);
      await Promise.all(names.map(() => app.opened("one")));
      await stage.until("rest", async () => (await ignored(app)) === names.length * 2 - 1);
      assert.deepEqual(await app.state("one"), ["t-10"]);
      assert.deepEqual(await app.bus.deadLetters.list(), []);
    },
  },
  {
    id: "saga.rules",
    title: "what a saga cannot take is a dead letter that says why, when it has been tried",
    run: async (stage) => {
      const app = await tallying(stage);
      await app.counted("nobody", "a");
      await app.opened("one");
      await started(stage, app);
      await app.opened("one");
      await app.closed("one");
      await stage.until("the end", async () => (await phaseOf(app)) === "closed");
      await app.counted("one", "b");
      await stage.until("three", async () => (await app.bus.deadLetters.list()).length === 3);
      const letters = await app.bus.deadLetters.list();
      const told = letters.map(({ failure, envelope }) => [
        envelope.header.type,
        failure?.reason,
        failure?.attempts,
      ]);
      const sorted = told.toSorted((one, other) => String(one).localeCompare(String(other)));
      assert.deepEqual(sorted, [
        ["tally.counted", "SAGA_FINISHED", 1],
        ["tally.counted", "SAGA_UNKNOWN", 8],
        ["tally.opened", (sorted[2] ?? [])[1], (sorted[2] ?? [])[2]],
      ]);
      // It comes again until the saga has finished, or it was tried often enough.
      assert.match(String((sorted[2] ?? [])[1]), /^SAGA_(UNEXPECTED|FINISHED)$/);
      assert.deepEqual(await stage.subject.written(), []);
    },
  },
  {
    id: "saga.corrupt",
    title:
      "a row that somebody else has written is refused, left as it is, and taken when it is mended",
    run: async (stage) => {
      const app = await tallying(stage);
      const { store } = await stage.open();
      await app.opened("one");
      await started(stage, app);
      const key = { saga: "tally", id: "one" };
      const sound = await store.sagas.find(key);
      assert.ok(sound !== undefined);
      const wrong = [
        { phase: "elsewhere" },
        { body: "no json" },
        { body: '{"state":7,"undo":[],"timeouts":{}}' },
        { body: '{"state":[],"undo":7,"timeouts":{}}' },
        { body: '{"state":[],"undo":[{}],"timeouts":{}}' },
        { body: '{"state":[],"undo":[],"timeouts":{"soon":7}}' },
        { body: '{"state":[],"undo":[],"timeouts":{},"__proto__":{}}' },
        { body: `{"state":["${"x".repeat(300_000)}"],"undo":[],"timeouts":{}}` },
      ];
      let { version } = sound;
      for (const [index, change] of wrong.entries()) {
        version += 1;
        const bad: SagaRow = { ...sound, ...change, version };
        assert.ok(await store.transaction(({ sagas }) => sagas.update(bad)));
        await app.counted("one", `w-${index}`);
        await stage.until(
          `dead letter ${index}`,
          async () => (await deadFor(app)).length === index + 1,
        );
        await assert.rejects(app.bus.sagas(app.tally).find("one"), { code: "STATE_INVALID" });
        assert.deepEqual(await store.sagas.find(key), bad);
      }
      assert.ok((await deadFor(app)).every((reason) => reason === "STATE_INVALID"));
      const mended = { ...sound, version: version + 1 };
      assert.ok(await store.transaction(({ sagas }) => sagas.update(mended)));
      const dead = await app.bus.deadLetters.list();
      await app.bus.deadLetters.replay(dead.map(({ handle }) => handle));
      await stage.until("all", async () => (await app.state("one"))?.length === wrong.length);
    },
  },
];

async function deadFor({ bus }: Tallying): Promise<readonly (string | undefined)[]> {
  return (await bus.deadLetters.list()).map(({ failure }) => failure?.reason);
}

async function phaseOf({ bus, tally }: Tallying): Promise<string | undefined> {
  return (await bus.sagas(tally).find("one"))?.phase;
}

async function ignored({ bus }: Tallying): Promise<number> {
  return (await bus.health()).contracts["tally.opened"]?.ignored ?? 0;
}

function started(stage: StoreStage, app: Tallying): Promise<void> {
  return stage.until("the start", async () => (await app.state("one")) !== undefined);
}

/** Each is counted once, with its effect once, and has left under one id; the saga has one version for each; nothing is left. */
async function everything(stage: StoreStage, app: Tallying): Promise<void> {
  const { subject } = stage;
  await stage.until("everything", async () => (await subject.written()).length >= names.length);
  await stage.until("rest", async () => {
    const { stores, addresses } = await app.bus.health();
    const isAtRest = addresses.every(
      ({ ready, inFlight = 0, scheduled = 0 }) => ready + inFlight + scheduled === 0,
    );
    return isAtRest && stores.every(({ waiting }) => waiting === 0);
  });
  const found = await app.bus.sagas(app.tally).find("one");
  assert.deepEqual([...((found?.state as string[] | undefined) ?? [])].toSorted(), names);
  assert.equal(found?.version, names.length + 1);
  assert.deepEqual(await subject.written(), names);
}
