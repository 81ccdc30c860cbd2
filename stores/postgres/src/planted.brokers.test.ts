import assert from "node:assert/strict";
import { test } from "node:test";
import type { SagaRows, Store, ViewRows } from "@waybill/core";
import { StoreStage, storeCases } from "@waybill/testkit";
import { subject } from "./subject.fixture.ts";

interface Bug {
  readonly name: string;
  /** The case that must notice it. */
  readonly caughtBy: string;
  readonly plant: (sagas: SagaRows) => Partial<SagaRows>;
  readonly plantView?: (views: ViewRows) => Partial<ViewRows>;
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
    plant: () => ({}),
    plantView: (views) => ({ load: (key) => views.find(key) }),
  },
];

for (const { name, caughtBy, plant, plantView } of bugs)
  test(`a store with a mistake is caught: ${name}`, async () => {
    const found = storeCases.find(({ id }) => id === caughtBy);
    const planted = (store: Store): Store => ({
      name: store.name,
      outbox: store.outbox,
      sagas: store.sagas,
      views: store.views,
      transaction: (work, options) =>
        store.transaction((each) => {
          const { client, sagas } = each;
          const mistaken: SagaRows = {
            load: (key, how) => sagas.load(key, how),
            insert: (row) => sagas.insert(row),
            update: (row) => sagas.update(row),
            ...plant(sagas),
          };
          return work({
            client,
            sagas: mistaken,
            views: { ...each.views, ...plantView?.(each.views) },
            claim: (address, message) => each.claim(address, message),
            append: (batch) => each.append(batch),
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
