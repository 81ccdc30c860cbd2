import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type Schema, command, event } from "@waybill/contracts";
import { type TransportFactory, memory, service } from "@waybill/core";
import { type TestBus, testBus } from "@waybill/testkit";
import { type SqliteStoreFactory, sqlite } from "./index.ts";

interface Basket {
  readonly id: string;
}
const basket: Schema<Basket> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) => {
      if (typeof (value as Basket).id === "string") return { value: value as Basket };
      return { issues: [{ message: "needs an id", path: ["id"] }] };
    },
  },
};
const Fill = command("basket.fill", { input: basket });
const CheckOut = command("basket.check-out", { input: basket });
const Remind = command("basket.remind", { input: basket });
const Abandoned = event("basket.abandoned", { payload: basket });

const minuteMs = 60_000;
const startAt = Date.UTC(2030, 0, 1);

function storeOf(t: TestContext): SqliteStoreFactory {
  const directory = mkdtempSync(join(tmpdir(), "waybill-kept-"));
  t.after(() => rmSync(directory, { recursive: true }));
  return sqlite({ file: join(directory, "store.db") });
}

/** A broker that holds nothing until later. */
function undelayed(): TransportFactory {
  const inner = memory();
  return {
    name: "undelayed",
    open: async (host) => {
      const transport = await inner.open(host);
      const capabilities = { ...transport.capabilities, delayMsMax: 0 };
      return Object.defineProperty(transport, "capabilities", { value: capabilities });
    },
  };
}

let processes = 0;

interface Asked {
  readonly at?: number;
  readonly transport?: TransportFactory;
  readonly fail?: () => boolean;
}

/** Baskets that are given up ten minutes after they were filled last. */
function baskets(
  store: SqliteStoreFactory,
  { at = startAt, transport = memory(), fail = () => false }: Asked = {},
): Promise<TestBus> {
  return testBus(
    [
      service("baskets", { publishes: [Abandoned], sends: [Remind], store })
        .handle(Fill, async ({ id }, { schedule, now, send }) => {
          const due = new Date(now().getTime() + 10 * minuteMs);
          await schedule(Abandoned, { id }, { id: `${id}-abandoned`, at: due });
          await send(Remind, { id }, { id: `${id}-remind`, delayMs: 5 * minuteMs });
          if (fail()) throw new Error("planned");
        })
        .handle(CheckOut, async ({ id }, { cancelSchedule }) => {
          await cancelSchedule(`${id}-abandoned`);
        })
        .handle(Remind, () => undefined),
      service("watching").on(Abandoned, () => undefined),
    ],
    {
      startAt: at,
      seed: (processes += 1),
      transport,
      handlers: { retry: { immediate: 0, attempts: 1 } },
    },
  );
}

test("what is scheduled comes at its moment, once, and is replaced and cancelled by its id", async (t) => {
  await using bus = await baskets(storeOf(t));
  await bus.send(Fill, { id: "one" });
  await bus.send(Fill, { id: "two" });
  await bus.advance(6 * minuteMs);
  await bus.send(Fill, { id: "one" });
  await bus.send(CheckOut, { id: "two" });
  await bus.settled();
  const [kept, ...others] = await bus.schedules.list({ declared: false });
  assert.deepEqual(others, []);
  assert.deepEqual(
    [kept?.name, kept?.contract, kept?.isDeclared, kept?.nextAt?.getTime()],
    ["one-abandoned", "basket.abandoned", false, startAt + 16 * minuteMs],
  );
  await bus.advance(9 * minuteMs);
  assert.deepEqual(bus.published(Abandoned), []);
  await bus.advance(minuteMs);
  assert.deepEqual(bus.published(Abandoned), [{ id: "one" }]);
  assert.deepEqual(await bus.schedules.list(), []);
});

test("a handler that fails has scheduled nothing and cancelled nothing", async (t) => {
  await using bus = await baskets(storeOf(t), { fail: () => true });
  await bus.send(Fill, { id: "one" });
  await bus.settled();
  assert.equal((await bus.dead(Fill)).length, 1);
  assert.deepEqual(await bus.schedules.list(), []);
});

test("what is scheduled survives its process, and comes late when nobody was there", async (t) => {
  const store = storeOf(t);
  {
    await using bus = await baskets(store);
    await bus.send(Fill, { id: "one" });
    await bus.settled();
  }
  await using bus = await baskets(store, { at: startAt + 30 * minuteMs });
  await bus.settled();
  assert.deepEqual(
    bus.handled(Abandoned).map(({ input }) => input),
    [{ id: "one" }],
  );
});

test("two processes send what is scheduled once", async (t) => {
  const store = storeOf(t);
  await using one = await baskets(store);
  await using two = await baskets(store);
  for (const id of ["a", "b", "c"]) await one.send(Fill, { id });
  for (let at = 0; at < 22; at++) for (const bus of [one, two]) await bus.advance(minuteMs / 2);
  const handled = [...one.handled(Abandoned), ...two.handled(Abandoned)];
  assert.deepEqual(
    handled.map(({ input }) => (input as Basket).id).toSorted((a, b) => a.localeCompare(b)),
    ["a", "b", "c"],
  );
});

test("bus.transaction schedules once and again and again, with what it writes, or not at all", async (t) => {
  const store = storeOf(t);
  await using bus = await baskets(store);
  const failing = bus.transaction(store, async ({ schedule }) => {
    await schedule(Remind, { id: "x" }, { id: "x", at: new Date(startAt) });
    throw new RangeError("planned");
  });
  await assert.rejects(failing, RangeError);
  assert.deepEqual(await bus.schedules.list(), []);
  await bus.transaction(store, async ({ schedule }) => {
    await schedule(
      Remind,
      { id: "hourly" },
      { id: "tenant-1", cron: "*/2 * * * *", missed: "all" },
    );
    await schedule(Remind, { id: "past" }, { id: "past", at: new Date(startAt - 1) });
  });
  await bus.settled();
  const reminded = (): readonly unknown[] => bus.handled(Remind).map(({ input }) => input);
  assert.deepEqual(reminded(), [{ id: "past" }]);
  const hourly = { id: "hourly" };
  await bus.advance(5 * minuteMs);
  assert.deepEqual(reminded().slice(1), [hourly, hourly]);
  const key = { service: "baskets", name: "tenant-1" };
  await bus.schedules.pause(key);
  await bus.advance(4 * minuteMs);
  await bus.schedules.resume(key);
  await bus.advance(2 * minuteMs);
  assert.equal(reminded().length, 4);
  await bus.schedules.trigger(key);
  const cancelled = await bus.transaction(store, ({ cancelSchedule }) =>
    cancelSchedule("tenant-1"),
  );
  assert.equal(cancelled, true);
  assert.equal(await bus.schedules.cancel(key), false);
  await bus.advance(4 * minuteMs);
  assert.equal(reminded().length, 5);
});

test("what cannot be scheduled is refused at once", async (t) => {
  const store = storeOf(t);
  await using bus = await baskets(store);
  const refused = (when: object, error: object, value: object = { id: "x" }): Promise<void> =>
    assert.rejects(
      bus.transaction(store, ({ schedule }) => schedule(Remind, value as Basket, when as never)),
      error,
    );
  await refused({ id: "x", at: "tomorrow" }, { code: "OPTION_INVALID", message: /valid date/ });
  await refused({ id: "x", at: new Date(Number.NaN) }, { code: "OPTION_INVALID" });
  await refused({ id: "", at: new Date() }, { code: "OPTION_INVALID", message: /1 to 256/ });
  await refused({ at: new Date() }, { code: "OPTION_INVALID" });
  await refused({ id: "x", cron: "99 * * * *" }, { code: "OPTION_INVALID", message: /minute/ });
  await refused({ id: "x" }, { code: "OPTION_INVALID", message: /neither cron nor everyMs/ });
  await refused({ id: "x", everyMs: 5_000, missed: "some" }, { message: /missed "some"/ });
  await refused({ id: "x", at: new Date() }, { code: "MESSAGE_INVALID" }, { id: 7 });
  assert.deepEqual(await bus.schedules.list(), []);
});

test("over a broker that delays nothing, what is sent for later waits in the store, and is taken back there", async (t) => {
  await using bus = await baskets(storeOf(t), { transport: undelayed() });
  await bus.send(Fill, { id: "one" });
  await bus.send(Fill, { id: "two" });
  await bus.send(Remind, { id: "outside" }, { delayMs: 3 * minuteMs });
  await bus.send(Remind, { id: "back" }, { id: "back", delayMs: 3 * minuteMs });
  await bus.settled();
  assert.deepEqual(bus.sent(Remind), []);
  assert.equal(await bus.scheduled.cancel(["back", "two-remind", "nobody"]), 2);
  await bus.advance(3 * minuteMs);
  assert.deepEqual(bus.sent(Remind), [{ id: "outside" }]);
  await bus.advance(2 * minuteMs);
  assert.deepEqual(bus.sent(Remind), [{ id: "outside" }, { id: "one" }]);
});

test("a row that somebody else has written stands still and says why, and holds up nothing", async (t) => {
  const store = storeOf(t);
  const bus = await baskets(store);
  await bus.send(Fill, { id: "one" });
  await bus.settled();
  await bus.transaction(store, ({ client }) => {
    client.exec(`insert into waybill_schedule (service, name, contract, timing, next_at, fired, missed, kind, target, header, body)
      select service, 'bad', contract, '{"cron":"x"}', 1, 0, 0, kind, target, header, body from waybill_schedule`);
  });
  await bus.advance(10 * minuteMs);
  assert.deepEqual(bus.published(Abandoned), [{ id: "one" }]);
  const bad = await bus.schedules.find({ service: "baskets", name: "bad" });
  assert.equal(bad?.state, "paused");
  assert.match(String(bad?.trouble), /what is stored of it/);
  await bus.close();
});
