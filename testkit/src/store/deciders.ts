import assert from "node:assert/strict";
import { type Command, type Event, type Schema, command, event } from "@waybill/contracts";
import {
  type Bus,
  type Decider,
  type TransportFactory,
  WaybillError,
  connect,
  decider,
  happened,
  memory,
  service,
} from "@waybill/core";
import { withFaults } from "../faults.ts";
import { type Trouble, troubled, watched } from "./application.ts";
import type { StoreCase, StoreStage } from "./stage.ts";

interface Entry {
  readonly till: string;
  readonly text: string;
}

const entry: Schema<Entry> = {
  "~standard": { version: 1, vendor: "waybill", validate: (value) => ({ value: value as Entry }) },
};
const texts: Schema<readonly string[]> = {
  "~standard": {
    version: 1,
    vendor: "waybill",
    validate: (value) => ({ value: value as readonly string[] }),
  },
};

/** Without a key: several processes decide on one stream at the same time. */
const Enter: Command<"till.enter", Entry> = command("till.enter", { input: entry });
const Entered: Event<"till.entered", Entry, Record<never, never>> = event("till.entered", {
  payload: entry,
  key: ({ till }) => till,
});

interface Arrival {
  readonly id: string;
  readonly till: string;
  readonly sequence: number;
}

interface Till {
  readonly bus: Bus;
  readonly till: Decider;
  /** What reached the subscriber of this process, repeated or not. */
  readonly arrived: readonly Arrival[];
  enter(till: string, text: string, id?: string): Promise<unknown>;
}

interface TillOptions {
  readonly trouble?: Trouble;
  readonly transport?: TransportFactory;
  /** In the order of arrival, of all processes. */
  readonly arrived?: Arrival[];
}

async function opened(
  stage: StoreStage,
  { trouble = {}, transport = memory(), arrived = [] }: TillOptions = {},
): Promise<Till> {
  const till = decider("till", {
    store: troubled(stage, trouble),
    state: texts,
    initial: () => [],
    commands: [Enter],
    events: [Entered],
    key: ({ till: name }) => name,
    decide: {
      [Enter.name]: (input) => {
        trouble.inHandler?.(input.text, undefined);
        return happened(Entered, input);
      },
    },
    evolve: { [Entered.name]: (state, { text }) => [...state, text] },
    snapshotEvery: 5,
  });
  const watching = service("watching", { sends: [Enter] }).on(
    Entered,
    ({ till: name }, { header }) => {
      assert.equal(header.subject, name);
      arrived.push({ id: header.id, till: name, sequence: Number(header.sequence) });
    },
  );
  const bus: Bus = await connect({
    transport: watched(transport, new Map(), trouble),
    services: [till, watching],
    logger: stage.logger,
    handlers: { lockMs: 1_000, retry: { immediate: 0, attempts: 50, delayMs: 2, factor: 1 } },
  });
  stage.closing(() => bus.close({ deadlineMs: 2_000 }));
  return {
    bus,
    till,
    arrived,
    enter: (name, text, id) =>
      bus.send(Enter, { till: name, text }, id === undefined ? {} : { id }),
  };
}

const names = ["one", "two", "three"];
const entries: readonly string[] = Array.from({ length: 16 }, (_, index) => `e-${10 + index}`);

export const deciderCases: readonly StoreCase[] = [
  {
    id: "decider.concurrent",
    title:
      "commands for one key that are decided at once, in two processes, are each decided once on all that came before, none as a failure",
    run: async (stage) => {
      const transport = memory();
      const arrived: Arrival[] = [];
      const left = await opened(stage, { transport, arrived });
      await opened(stage, { transport, arrived });
      await Promise.all(entries.map((text) => left.enter("one", text)));
      await everything(stage, left);
      assert.deepEqual(await left.bus.deadLetters.list(), []);
      assert.equal((await left.bus.health()).contracts[Enter.name]?.failed, 0);
    },
  },
  {
    id: "decider.order",
    title:
      "events of a key leave in its order, though the process that decided the earlier ones cannot send for a while",
    run: async (stage) => {
      const transport = memory();
      const arrived: Arrival[] = [];
      let failures = 12;
      const beforeSend: Trouble["beforeSend"] = (batch) => {
        if (batch[0]?.envelope.header.type !== Entered.name) return;
        failures -= 1;
        if (failures >= 0)
          throw new WaybillError("TRANSPORT_FAILED", "planned", { retryable: true });
      };
      const left = await opened(stage, { transport, arrived, trouble: { beforeSend } });
      const right = await opened(stage, { transport, arrived });
      for (const text of entries) await Promise.all(names.map((name) => right.enter(name, text)));
      failures = Math.min(failures, 3);
      await everything(stage, left, { tills: names });
    },
  },
  {
    id: "decider.redelivered",
    title: "commands that come twice, and whose settlements are lost, are decided once",
    run: async (stage) => {
      const plan = { duplicate: 0.4, dropSettlement: 0.4, loseAnswer: 0.2 };
      const app = await opened(stage, { transport: withFaults(memory(), { seed: 7, plan }) });
      for (const text of entries) await app.enter("one", text);
      await everything(stage, app);
      await app.enter("one", "again", "same");
      await app.enter("one", "again", "same");
      await everything(stage, app, { wanted: [...entries, "again"] });
    },
  },
  {
    id: "decider.crash",
    title:
      "of a run that ends before its commit nothing has happened and nothing leaves; one that ends after it has happened",
    run: async (stage) => {
      const unknown = (): WaybillError =>
        new WaybillError("COMMIT_UNKNOWN", "The answer is lost.", { retryable: true });
      let before = 5;
      let after = 5;
      const app = await opened(stage, {
        trouble: {
          atCommit: () => {
            before -= 1;
            if (before >= 0) throw before % 2 === 0 ? new Error("planned") : unknown();
          },
          afterCommit: () => {
            after -= 1;
            if (after >= 0) throw unknown();
          },
        },
      });
      for (const text of entries) await app.enter("one", text);
      await everything(stage, app);
      assert.deepEqual(await app.bus.deadLetters.list(), []);
    },
  },
];

/** Each entry stands once, versions have no gap, each has left once under the id that it has in its stream, and in its order. */
async function everything(
  stage: StoreStage,
  app: Till,
  {
    tills = ["one"],
    wanted = entries,
  }: { readonly tills?: readonly string[]; readonly wanted?: readonly string[] } = {},
): Promise<void> {
  const first = (name: string): readonly Arrival[] => {
    const byId = new Map<string, Arrival>();
    for (const each of app.arrived)
      if (each.till === name && !byId.has(each.id)) byId.set(each.id, each);
    return [...byId.values()];
  };
  for (const name of tills)
    await stage.until(`all of ${name}`, () => first(name).length >= wanted.length);
  await stage.until("rest", async () => {
    const { stores, addresses } = await app.bus.health();
    const isAtRest = addresses.every(
      ({ ready, inFlight = 0, scheduled = 0 }) => ready + inFlight + scheduled === 0,
    );
    return isAtRest && stores.every(({ waiting }) => waiting === 0);
  });
  const look = app.bus.deciders(app.till);
  for (const name of tills) {
    const history = await look.history(name, { limit: 1_000 });
    assert.deepEqual(
      history.map(({ version }) => version),
      history.map((_, index) => index + 1),
    );
    const said = history.map(({ payload }) => (payload as Entry).text);
    assert.deepEqual(said.toSorted(), [...wanted].toSorted());
    assert.deepEqual((await look.load(name)).state, said);
    assert.deepEqual(
      first(name).map(({ id, sequence }) => [id, sequence]),
      history.map(({ id, version }) => [id, version]),
    );
  }
}
