import assert from "node:assert/strict";
import { test } from "node:test";
import type {
  EventRows,
  Outgoing,
  SagaRow,
  SagaRows,
  ScheduleRow,
  ScheduleRows,
  Store,
  StoreTransaction,
  ViewRows,
} from "@waybill/core";
import { StoreStage, storeCases } from "@waybill/testkit";
import { subject } from "./subject.fixture.ts";

interface Bug {
  readonly name: string;
  /** The case that must notice it. */
  readonly caughtBy: string;
  readonly plant: (store: Store) => Store["transaction"];
  readonly plantViews?: (views: Store["views"]) => Partial<Store["views"]>;
}

const bugs: readonly Bug[] = [
  {
    name: "no inbox, so that a message that comes again is handled again",
    caughtBy: "failure.redelivered",
    plant: (store) => (work, options) =>
      store.transaction((each) => work({ ...bound(each), claim: () => true }), options),
  },
  {
    name: "published whether it is committed or not",
    caughtBy: "failure.commit",
    plant: (store) => async (work, options) => {
      const said: Outgoing[] = [];
      const append = (batch: readonly Outgoing[]): void => void said.push(...batch);
      try {
        return await store.transaction((each) => work({ ...bound(each), append }), options);
      } finally {
        if (said.length > 0) await store.transaction((each) => each.append(said));
      }
    },
  },
  {
    name: "acknowledged before the commit",
    caughtBy: "failure.commit",
    plant: (store) => (work, options) =>
      new Promise((resolve, reject) => {
        const early: typeof work = async (each) => {
          const result = await work(each);
          resolve(result);
          return result;
        };
        store.transaction(early, options).catch(reject);
      }),
  },
  {
    name: "a saga that is saved outside the transaction of its message",
    caughtBy: "saga.crash",
    plant: (store) => async (work, options) => {
      const saved: SagaRow[] = [];
      const save = (row: SagaRow): boolean => saved.push(row) > 0;
      const saving = (sagas: SagaRows): SagaRows => ({
        load: (key, how) => sagas.load(key, how),
        insert: save,
        update: save,
      });
      try {
        return await store.transaction(
          (each) => work({ ...bound(each), sagas: saving(each.sagas) }),
          options,
        );
      } finally {
        for (const row of saved)
          await store.transaction(
            async ({ sagas }) => (await sagas.update(row)) || sagas.insert(row),
          );
      }
    },
  },
  {
    name: "a view without an inbox, so that a message that comes again is taken again",
    caughtBy: "view.redelivered",
    plant: (store) => (work, options) =>
      store.transaction(
        (each) => work({ ...bound(each), views: { ...each.views, claim: () => [1] } }),
        options,
      ),
  },
  {
    name: "a view whose messages are noted and whose rows are saved later",
    caughtBy: "view.crash",
    plant: (store) => async (work, options) => {
      const saved: Parameters<ViewRows["save"]>[] = [];
      const save = (...row: Parameters<ViewRows["save"]>): void => void saved.push(row);
      try {
        return await store.transaction(
          (each) => work({ ...bound(each), views: { ...each.views, save } }),
          options,
        );
      } finally {
        for (const row of saved) await store.transaction(({ views }) => views.save(...row));
      }
    },
  },
  {
    name: "events that are appended on whatever version they were decided",
    caughtBy: "event.conflict",
    plant: (store) => (work, options) =>
      store.transaction((each) => {
        const append: EventRows["append"] = async (rows) => {
          const [first] = rows;
          if (first === undefined) return true;
          const last = await each.events.last(first, {});
          return each.events.append(rows.map((row, at) => ({ ...row, version: last + 1 + at })));
        };
        return work({ ...bound(each), events: { ...each.events, append } });
      }, options),
  },
  {
    name: "events that are published, whether they are appended or not",
    caughtBy: "decider.crash",
    plant: (store) => async (work, options) => {
      const said: Parameters<StoreTransaction["append"]>[] = [];
      const append = (...batch: Parameters<StoreTransaction["append"]>): void =>
        void said.push(batch);
      try {
        return await store.transaction((each) => work({ ...bound(each), append }), options);
      } finally {
        for (const batch of said) await store.transaction((each) => each.append(...batch));
      }
    },
  },
  {
    name: "a schedule that moves on, whether what it sends is committed or not",
    caughtBy: "schedule.crash",
    plant: (store) => async (work, options) => {
      const moved: ScheduleRow[] = [];
      try {
        return await store.transaction((each) => work(noting(each, moved)), options);
      } finally {
        await move(store, moved);
      }
    },
  },
  {
    name: "a schedule that moves on when what it sends has been committed",
    caughtBy: "schedule.crash",
    plant: (store) => async (work, options) => {
      const moved: ScheduleRow[] = [];
      const result = await store.transaction((each) => work(noting(each, moved)), options);
      await move(store, moved);
      return result;
    },
  },
  {
    name: "a view that forgets the versions of its rows",
    caughtBy: "view.order",
    plant: (store) => (work, options) =>
      store.transaction((each) => {
        const load: ViewRows["load"] = async (place) => {
          const row = await each.views.load(place);
          return row && { ...row, versions: "{}" };
        };
        return work({ ...bound(each), views: { ...each.views, load } });
      }, options),
  },
  {
    name: "a view that tells who waits at once that it is there",
    caughtBy: "view.wait",
    plant: (store) => (work, options) => store.transaction(work, options),
    plantViews: () => ({ isApplied: async () => true }),
  },
];

for (const { name, caughtBy, plant, plantViews } of bugs)
  test(`a store with a mistake is caught: ${name}`, async () => {
    const found = storeCases.find(({ id }) => id === caughtBy);
    const planted = (store: Store): Store => ({
      name: store.name,
      outbox: store.outbox,
      sagas: store.sagas,
      schedules: store.schedules,
      views: { ...store.views, ...plantViews?.(store.views) },
      events: store.events,
      transaction: plant(store),
      [Symbol.asyncDispose]: () => store[Symbol.asyncDispose](),
    });
    const stage = new StoreStage(subject(), { plant: planted, waitMsMax: 3_000 });
    try {
      await assert.rejects(async () => found?.run(stage), assert.AssertionError);
    } finally {
      await stage.close();
    }
  });

function bound(transaction: StoreTransaction): StoreTransaction {
  return {
    client: transaction.client,
    sagas: transaction.sagas,
    views: transaction.views,
    schedules: transaction.schedules,
    events: transaction.events,
    claim: (address, message) => transaction.claim(address, message),
    append: (batch, stream) => transaction.append(batch, stream),
  };
}

/** Schedules that are updated are only noted. */
function noting(each: StoreTransaction, moved: ScheduleRow[]): StoreTransaction {
  const { schedules } = each;
  const rows: ScheduleRows = {
    load: (key) => schedules.load(key),
    due: (now, limit) => schedules.due(now, limit),
    insert: (row) => schedules.insert(row),
    update: (row) => void moved.push(row),
    remove: (key) => schedules.remove(key),
  };
  return { ...bound(each), schedules: rows };
}

function move(store: Store, moved: readonly ScheduleRow[]): Promise<void> {
  return store.transaction(async ({ schedules }) => {
    for (const row of moved) await schedules.update(row);
  });
}
