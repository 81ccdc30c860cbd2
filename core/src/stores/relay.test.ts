import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event } from "@waybill/contracts";
import * as z from "zod";
import type { Bus } from "../bus.ts";
import { connect } from "../connect.ts";
import { WaybillError } from "../errors.ts";
import { memory } from "../memory/index.ts";
import type { Outgoing } from "../ports/transport.ts";
import { service } from "../service.ts";
import {
  type ManualEnvironment,
  type RecordingLogger,
  type WatchedTransport,
  envelopeOf,
  manualEnvironment,
  recordingLogger,
  watched,
} from "../testing.fixture.ts";
import { type MemoryStore, memoryStore } from "./memory-store.fixture.ts";

const Id = z.object({ id: z.string() });
const Bill = command("billing.bill", { input: Id });
const Placed = event("ordering.placed", { payload: Id });
const hourMs = 3_600_000;
/** No pause of the relay is longer. */
const pauseMsMax = 10_000;

/** A broker that can be gone, and remembers what was stored in it, and when it was tried in vain. */
interface Line extends WatchedTransport {
  isGone: boolean;
  readonly stored: string[];
  readonly refusedAt: number[];
}

function line(environment: ManualEnvironment): Line {
  const stored: string[] = [];
  const refusedAt: number[] = [];
  const factory = watched(memory(), (inner) => ({
    send: async (batch) => {
      if (made.isGone) {
        refusedAt.push(environment.clock.monotonic());
        throw new WaybillError("TRANSPORT_FAILED", "The line is dead.", { retryable: true });
      }
      await inner.send(batch);
      stored.push(...batch.map(({ envelope }) => JSON.parse(String(envelope.body)).id as string));
    },
  }));
  const made: Line = Object.assign(factory, { isGone: false, stored, refusedAt });
  return made;
}

interface Application extends AsyncDisposable {
  readonly environment: ManualEnvironment;
  readonly commands: Line;
  /** The same as `commands` where the kinds are not split. */
  readonly events: Line;
  readonly store: MemoryStore;
  readonly logger: RecordingLogger;
  readonly bus: Bus;
  /** One transaction, with an event and then a command for each. */
  commit(...names: readonly string[]): Promise<void>;
}

interface Options {
  readonly isSplit: boolean;
  readonly left?: readonly Outgoing[];
  readonly isGone?: boolean;
}

async function application({ isSplit, left = [], isGone = false }: Options): Promise<Application> {
  const environment = manualEnvironment();
  const commands = line(environment);
  const events = isSplit ? line(environment) : commands;
  events.isGone = isGone;
  const store = memoryStore(environment);
  store.leave(left);
  const logger = recordingLogger();
  const services = [
    service("ordering", { store, publishes: [Placed], sends: [Bill] }),
    service("billing")
      .handle(Bill, () => undefined)
      .on(Placed, () => undefined),
  ] as const;
  const transport = isSplit ? { commands, events } : commands;
  const bus = await connect({ transport, services, environment, logger });
  return {
    environment,
    commands,
    events,
    store,
    logger,
    bus,
    commit: async (...names) => {
      await bus.transaction(store, async ({ publish, send }) => {
        for (const id of names) {
          await publish(Placed, { id: `event ${id}` });
          await send(Bill, { id: `command ${id}` });
        }
      });
      await environment.advance(0);
    },
    [Symbol.asyncDispose]: async () => {
      events.isGone = false;
      const closed = bus.close();
      // A line that waits for its next attempt ends its pause.
      await environment.advance(pauseMsMax);
      await closed;
    },
  };
}

test("while events' broker is gone for an hour, commands leave over theirs at once; then the events, once and in their order", async () => {
  await using app = await application({ isSplit: true });
  const { environment, commands, events, store, bus, logger } = app;
  await app.commit("0");
  assert.deepEqual([commands.stored, events.stored], [["command 0"], ["event 0"]]);
  events.isGone = true;
  const names = Array.from({ length: 60 }, (_, index) => String(index + 1));
  for (const [index, name] of names.entries()) {
    await app.commit(name);
    assert.equal(commands.stored.at(-1), `command ${name}`);
    assert.equal(store.waiting.length, index + 1);
    await environment.advance(hourMs / names.length);
  }
  assert.deepEqual(events.stored, ["event 0"]);
  const { status, reasons, stores } = await bus.health();
  assert.equal(status, "failed");
  assert.match(
    reasons.join("; "),
    /memory store: 60 committed messages are not sent, the oldest for 3600 s: memory \(events\): The line is dead\.$/,
  );
  assert.equal(stores[0]?.waiting, 60);
  assert.equal(logger.has("warn", /over memory \(events\)/), true);
  events.isGone = false;
  await environment.advance(pauseMsMax);
  assert.deepEqual(events.stored, ["event 0", ...names.map((name) => `event ${name}`)]);
  assert.deepEqual(commands.stored, ["command 0", ...names.map((name) => `command ${name}`)]);
  assert.deepEqual(commands.refusedAt, []);
  assert.deepEqual([store.waiting.length, (await bus.health()).status], [0, "up"]);
});

test("what stands in the outbox for a broker that is gone hides nothing of the other's, though it is more than one page", async () => {
  const left = Array.from({ length: 1_200 }, (_, index): Outgoing => {
    const isEvent = index < 1_199;
    const { name } = isEvent ? Placed : Bill;
    const envelope = envelopeOf(name, JSON.stringify({ id: String(index) }));
    return { to: { kind: isEvent ? "topic" : "queue", name }, envelope };
  });
  await using app = await application({ isSplit: true, left, isGone: true });
  const { environment, commands, events, store } = app;
  await environment.advance(0);
  assert.deepEqual([commands.stored, store.waiting.length], [["1199"], 1_199]);
  // Nor while it is looked for again and again whether more is stored.
  await environment.advance(hourMs);
  assert.deepEqual(commands.stored, ["1199"]);
  events.isGone = false;
  await environment.advance(pauseMsMax);
  assert.deepEqual(
    events.stored,
    Array.from({ length: 1_199 }, (_, index) => String(index)),
  );
  assert.equal(store.waiting.length, 0);
});

test("what waits for a broker that is gone takes its share of memory and no more; the rest is read when it is back", async () => {
  await using app = await application({ isSplit: true });
  const { environment, commands, events, store } = app;
  await app.commit("0");
  events.isGone = true;
  const transactions = 120;
  const names = Array.from({ length: 100 }, (_, index) => String(index));
  for (let index = 0; index < transactions; index++)
    await app.commit(...names.map((name) => `${index}/${name}`));
  const every = Array.from({ length: transactions }, (_, index) =>
    names.map((name) => `${index}/${name}`),
  ).flat();
  assert.equal(commands.stored.length, 1 + every.length);
  assert.equal(store.waiting.length, every.length);
  const reads = store.reads.length;
  events.isGone = false;
  await environment.advance(pauseMsMax);
  assert.deepEqual(events.stored, ["event 0", ...every.map((name) => `event ${name}`)]);
  const read = store.reads.slice(reads).reduce((sum, { count }) => sum + count, 0);
  assert.ok(read >= every.length - 5_000, `${every.length - read} rows were kept in memory`);
  assert.equal(store.waiting.length, 0);
});

test("a broker that is down for an hour is tried at bounded intervals, health alarms by age, and everything leaves afterwards", async () => {
  await using app = await application({ isSplit: false });
  const { environment, events: broker, store, bus, logger } = app;
  broker.isGone = true;
  const names = Array.from({ length: 60 }, (_, index) => String(index));
  const statuses = new Set<string>();
  for (const name of names) {
    await app.commit(name);
    statuses.add((await bus.health()).status);
    await environment.advance(hourMs / names.length);
  }
  assert.deepEqual([...statuses], ["up", "degraded", "failed"]);
  assert.match(
    (await bus.health()).reasons.join("; "),
    /^memory store: 120 committed messages are not sent, the oldest for 3600 s: The line is dead\.$/,
  );
  const pauses = broker.refusedAt.slice(1).map((at, index) => at - (broker.refusedAt[index] ?? 0));
  assert.ok(pauses.length > hourMs / pauseMsMax, `tried ${pauses.length} times`);
  assert.ok(Math.max(...pauses) <= pauseMsMax);
  // Short at first, and then not every moment.
  assert.ok((pauses[0] ?? 0) <= 100);
  assert.ok(Math.min(...pauses.slice(10)) >= pauseMsMax / 2);
  assert.equal(logger.lines.filter(({ message }) => /cannot be sent now/.test(message)).length, 1);
  broker.isGone = false;
  await environment.advance(pauseMsMax);
  assert.deepEqual(
    broker.stored,
    names.flatMap((name) => [`event ${name}`, `command ${name}`]),
  );
  assert.deepEqual([store.waiting.length, (await bus.health()).status], [0, "up"]);
});
