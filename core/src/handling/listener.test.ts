import assert from "node:assert/strict";
import { test } from "node:test";
import { command } from "@waybill/contracts";
import * as z from "zod";
import { connect } from "../connect.ts";
import { memory } from "../memory/index.ts";
import type { Delivery, Settled, Settlement, TransportFactory } from "../ports/transport.ts";
import { service } from "../service.ts";
import { recordingLogger, turns, until } from "../testing.fixture.ts";

const Run = command("jobs.run", { input: z.object({ id: z.number() }) });

/** The in-memory transport, whose settlements are stored when the test says so. */
function slowToSettle(): { factory: TransportFactory; store: () => void; pending: () => number } {
  const waiting: (() => void)[] = [];
  const inner = memory();
  const slow = (delivery: Delivery): Delivery =>
    new Proxy(delivery, {
      set: (target, field, value) => Reflect.set(target, field, value),
      get: (target, field) => {
        const found: unknown = Reflect.get(target, field);
        if (field !== "settle") return found;
        return async (settlement: Settlement): Promise<Settled> => {
          await new Promise<void>((resolve) => waiting.push(resolve));
          return target.settle(settlement);
        };
      },
    });
  const factory: TransportFactory = {
    ...inner,
    open: async (host) => {
      const transport = await inner.open(host);
      const receive = transport.receive.bind(transport);
      transport.receive = (source, options, listener) =>
        receive(source, options, {
          ...listener,
          deliver: (batch) => listener.deliver(batch.map(slow)),
          fault: (error) => listener.fault(error),
        });
      return transport;
    },
  };
  return {
    factory,
    store: () => {
      for (const resolve of waiting.splice(0)) resolve();
    },
    pending: () => waiting.length,
  };
}

for (const kind of ["at once", "later"] as const) {
  test(`a handler that ends ${kind} leaves its place to the next before its settlement is stored, as far as prefetch goes`, async () => {
    const { factory, store, pending } = slowToSettle();
    const ran: number[] = [];
    let most = 0;
    let running = 0;
    const jobs = service("jobs").handle(
      Run,
      kind === "at once"
        ? ({ id }) => void ran.push(id)
        : async ({ id }) => {
            most = Math.max(most, ++running);
            await turns(2);
            running -= 1;
            ran.push(id);
          },
      { concurrency: 1, prefetch: 3 },
    );
    await using bus = await connect({
      transport: factory,
      services: [jobs],
      logger: recordingLogger(),
    });
    for (let id = 0; id < 7; id++) await bus.send(Run, { id });
    await until("three settlements that wait", () => pending() === 3);
    await turns();
    assert.deepEqual(ran, [0, 1, 2]);
    store();
    await until("the next three", () => pending() === 3);
    await turns();
    assert.deepEqual(ran, [0, 1, 2, 3, 4, 5]);
    store();
    await until("the last one", () => pending() === 1);
    store();
    await until("all are handled", async () => {
      const { contracts } = await bus.health();
      return contracts[Run.name]?.handled === 7;
    });
    assert.ok(most <= 1);
  });
}

test("a promise of any make is awaited", async () => {
  let ended = false;
  const jobs = service("jobs").handle(
    Run,
    () =>
      ({
        // oxlint-disable-next-line unicorn/no-thenable -- query builders of databases answer with such objects
        then: (resolve: (value: undefined) => void): void => {
          setImmediate(() => {
            ended = true;
            resolve(undefined);
          });
        },
      }) as unknown as Promise<undefined>,
  );
  await using bus = await connect({
    transport: memory(),
    services: [jobs],
    logger: recordingLogger(),
  });
  await bus.send(Run, { id: 1 });
  await until("it is handled", async () => {
    const { contracts } = await bus.health();
    return contracts[Run.name]?.handled === 1;
  });
  assert.ok(ended);
});

test("who sends without a pause leaves the handlers and timers of its process their turns", async () => {
  let handled = 0;
  const jobs = service("jobs").handle(Run, () => void handled++);
  await using bus = await connect({
    transport: memory(),
    services: [jobs],
    logger: recordingLogger(),
  });
  let most = 0;
  for (let id = 0; id < 2_000; id++) {
    await bus.send(Run, { id });
    most = Math.max(most, id + 1 - handled);
  }
  assert.ok(most <= 1_000, `${most} messages waited`);
});
