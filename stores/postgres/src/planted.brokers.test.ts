import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { SagaRows, ScheduleRows, Store, ViewRows } from "@waybill/core";
import { StoreStage, storeCases } from "@waybill/testkit";
import { subject } from "./subject.fixture.ts";

interface Bug {
  readonly name: string;
  /** The case that must notice it. */
  readonly caughtBy: string;
  readonly plant?: (sagas: SagaRows) => Partial<SagaRows>;
  readonly plantView?: (views: ViewRows) => Partial<ViewRows>;
  readonly plantSchedules?: (rows: ScheduleRows, store: Store) => Partial<ScheduleRows>;
}

/** Whatever is there, it is written over. */
async function overwrite(sagas: SagaRows, row: Parameters<SagaRows["update"]>[0]): Promise<true> {
  const found = await sagas.load(row, { lock: true });
  if (found === undefined) await sagas.insert(row);
  else await sagas.update({ ...row, version: found.version + 1 });
  return true;
}

const bugs: readonly Bug[] = [
  {
    name: "no version check, so that who saves last wins",
    caughtBy: "saga.concurrent",
    plant: (sagas) => ({ update: (row) => overwrite(sagas, row) }),
  },
  {
    name: "a start that looks first and then writes",
    caughtBy: "saga.row-race",
    plant: (sagas) => ({ insert: (row) => overwrite(sagas, row) }),
  },
  {
    name: "no lock, so that who lost a race may lose it for ever",
    caughtBy: "saga.row-race",
    plant: (sagas) => ({ load: (key) => sagas.load(key) }),
  },
  {
    name: "a view whose rows are read without waiting, so that of two changes one is lost",
    caughtBy: "view.race",
    plantView: (views) => ({ load: (key) => views.find(key) }),
  },
  {
    name: "no lock on a schedule, so that two processes fire for one moment",
    caughtBy: "schedule.once",
    plantSchedules: (rows, store) => ({
      load: async (key) => {
        const found = await store.schedules.find(key);
        // Two processes that wake at one moment are seldom so close.
        await sleep(50);
        return found;
      },
      insert: (row) => rows.insert(row),
    }),
  },
  {
    name: "what is due is not locked, so that two processes take it",
    caughtBy: "schedule.race",
    plantSchedules: (_rows, store) => ({
      due: () => store.schedules.list({ limit: 10, declared: false }),
    }),
  },
];

for (const { name, caughtBy, plant, plantView, plantSchedules } of bugs)
  test(`a store with a mistake is caught: ${name}`, async () => {
    const found = storeCases.find(({ id }) => id === caughtBy);
    const planted = (store: Store): Store => ({
      name: store.name,
      outbox: store.outbox,
      sagas: store.sagas,
      views: store.views,
      schedules: store.schedules,
      events: store.events,
      transaction: (work, options) =>
        store.transaction((each) => {
          const { client, sagas, schedules } = each;
          const mistaken: SagaRows = {
            load: (key, how) => sagas.load(key, how),
            insert: (row) => sagas.insert(row),
            update: (row) => sagas.update(row),
            ...plant?.(sagas),
          };
          return work({
            client,
            sagas: mistaken,
            views: { ...each.views, ...plantView?.(each.views) },
            schedules: {
              load: (key) => schedules.load(key),
              due: (now, limit) => schedules.due(now, limit),
              insert: (row) => schedules.insert(row),
              update: (row) => schedules.update(row),
              remove: (key) => schedules.remove(key),
              ...plantSchedules?.(schedules, store),
            },
            events: each.events,
            claim: (address, message) => each.claim(address, message),
            append: (batch, stream) => each.append(batch, stream),
          });
        }, options),
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    });
    const stage = new StoreStage(await subject(), { plant: planted, waitMsMax: 5_000 });
    try {
      await assert.rejects(async () => found?.run(stage), assert.AssertionError);
    } finally {
      await stage.close();
    }
  });
