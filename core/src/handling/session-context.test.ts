import assert from "node:assert/strict";
import { test } from "node:test";
import { command, event } from "@waybill/contracts";
import * as z from "zod";
import { WaybillError } from "../errors.ts";
import type { Envelope } from "../envelope.ts";
import type { WireTransform } from "../ports/wire.ts";
import { memory } from "../memory/index.ts";
import { retry } from "./outcome.ts";
import type { Transport } from "../ports/transport.ts";
import { service } from "../service.ts";
import {
  envelopeOf,
  foreigner,
  manualEnvironment,
  tested,
  turns,
  until,
  watched,
} from "../testing.fixture.ts";

const Item = z.object({ cart: z.string(), sku: z.string() });
const Cart = z.object({ skus: z.array(z.string()) });
const Add = command("carts.add", { input: Item, key: ({ cart }) => cart });
const Added = event("carts.added", { payload: Item, key: ({ cart }) => cart });
const quick = { immediate: 0, delayMs: 10, jitter: 0 } as const;

test("a handler reads and writes the state of its key; the next message of the key finds it, other keys do not", async () => {
  const seen: string[] = [];
  const carts = service("carts").handle(
    Add,
    async ({ cart, sku }, { session }) => {
      const { skus } = (await session.read()) ?? { skus: [] };
      await session.write({ skus: [...skus, sku] });
      assert.deepEqual(await session.read(), { skus: [...skus, sku] });
      assert.equal(session.key, cart);
      seen.push(`${cart}: ${skus.join("")}`);
      if (sku === "last") await session.write(undefined);
    },
    { state: Cart },
  );
  await using it = await tested([carts]);
  for (const [cart, sku] of [
    ["a", "1"],
    ["b", "1"],
    ["a", "2"],
    ["a", "last"],
    ["a", "3"],
  ] as const)
    await it.bus.send(Add, { cart, sku });
  await until("all", () => seen.length === 5);
  assert.deepEqual(
    seen.filter((line) => line.startsWith("a")),
    ["a: ", "a: 1", "a: 12", "a: "],
  );
  assert.deepEqual(
    seen.filter((line) => line.startsWith("b")),
    ["b: "],
  );
});

test("what a handler wrote is kept only if it succeeds: not when it throws, asks for a retry, runs again at once, or what it sent is refused", async () => {
  const environment = manualEnvironment();
  const found: unknown[] = [];
  let run = 0;
  let isFull = true;
  const factory = watched(memory(), (transport) => ({
    receive: (source, options, listener) =>
      transport.receive(source, options, {
        fault: (error) => listener.fault(error),
        deliver: (batch) => {
          for (const delivery of batch) {
            const settle = delivery.settle.bind(delivery);
            delivery.settle = (settlement) =>
              settlement.kind === "complete" && settlement.send !== undefined && isFull
                ? Promise.reject(new WaybillError("STORAGE_FULL", "full", { retryable: true }))
                : settle(settlement);
          }
          listener.deliver(batch);
        },
      }),
  }));
  const carts = service("carts", { publishes: [Added] })
    .handle(
      Add,
      async (item, context) => {
        const { session } = context;
        run += 1;
        found.push(await session.read());
        await session.write({ skus: [`run ${run}`] });
        if (run < 3) throw new Error("no");
        if (run === 3) return retry({ afterMs: 10 });
        if (run === 5) isFull = false;
        return void (await context.publish(Added, item));
      },
      { state: Cart, retry: { ...quick, immediate: 1 } },
    )
    .on(Added, () => undefined);
  await using it = await tested([carts], { environment, transport: factory });
  await it.bus.send(Add, { cart: "a", sku: "1" });
  await environment.advance(1_000);
  await it.bus.send(Add, { cart: "a", sku: "2" });
  await environment.advance(1_000);
  assert.deepEqual(found, [...Array.from({ length: 5 }, () => undefined), { skus: ["run 5"] }]);
});

test("state that does not fit its schema, is too large, or comes too late is refused", async () => {
  const codes: string[] = [];
  let late: Promise<void> | undefined;
  const code = ({ code: own }: { code: string }): void => void codes.push(own);
  const carts = service("carts").handle(
    Add,
    async ({ sku }, { session }) => {
      if (sku === "read") return void (await session.read().catch(code));
      // @ts-expect-error -- what is written has the type of the schema
      await session.write({ skus: 1 }).catch(code);
      await session.write({ skus: ["x".repeat(70_000)] }).catch(code);
      late = turns(5).then(() => session.write({ skus: [] }).catch(code));
      return undefined;
    },
    { state: Cart },
  );
  const factory = memory();
  await using it = await tested([carts], { transport: factory });
  await it.bus.send(Add, { cart: "a", sku: "write" });
  await until("three are refused", () => codes.length === 3);
  await late;
  assert.deepEqual(codes, ["MESSAGE_INVALID", "BODY_TOO_LARGE", "CLOSED"]);

  await using broker = await foreigner(factory);
  const other = service("carts").handle(
    Add,
    async (_item, { session }) => session.write(["of another version"]),
    { state: z.array(z.string()) },
  );
  await it.bus.close();
  {
    await using before = await tested([other], { transport: factory });
    await before.bus.send(Add, { cart: "a", sku: "write" });
    await until("it is written", async () => (await before.counted(Add.name))["handled"] === 1);
  }
  await using after = await tested([carts], { transport: factory });
  await after.bus.send(Add, { cart: "a", sku: "read" });
  await until("it is read", () => codes.length === 4);
  assert.equal(codes[3], "STATE_INVALID");
  await broker.send([
    {
      to: { kind: "queue", name: Add.name },
      envelope: envelopeOf(Add.name, '{"cart":"a","sku":"read"}'),
    },
  ]);
  await until("the one without a key", () => codes.length === 5);
  assert.equal(codes[4], "NOT_SUPPORTED");
});

test("state and sends go through a wire together", async () => {
  const found: unknown[] = [];
  const carts = service("carts", { publishes: [Added] })
    .handle(
      Add,
      async (item, context) => {
        found.push(await context.session.read());
        await context.session.write({ skus: [item.sku] });
        await context.publish(Added, item);
      },
      { state: Cart },
    )
    .on(Added, () => undefined);
  const turned = (body: Envelope["body"]): string => String(body).split("").toReversed().join("");
  const wire: WireTransform = {
    name: "turned",
    encodings: ["turned"],
    required: true,
    seal: (body) => ({ body: turned(body), encoding: "turned" }),
    open: turned,
  };
  await using it = await tested([carts], { wire: [wire] });
  for (const sku of ["1", "2"]) await it.bus.send(Add, { cart: "a", sku });
  await until("both", async () => (await it.counted(Added.name))["handled"] === 2);
  assert.deepEqual(found, [undefined, { skus: ["1"] }]);
});

test("each subscription keeps its own state of a key", async () => {
  const totals: string[] = [];
  const counting = (name: string, step: number) =>
    service(name).on(
      Added,
      async (_item, { session }) => {
        const total = ((await session.read()) ?? 0) + step;
        await session.write(total);
        totals.push(`${name} ${total}`);
      },
      { state: z.number() },
    );
  await using it = await tested([counting("one", 1), counting("ten", 10)]);
  await it.bus.publish(Added, { cart: "a", sku: "1" });
  await it.bus.publish(Added, { cart: "a", sku: "2" });
  await until("all", () => totals.length === 4);
  assert.deepEqual(new Set(totals), new Set(["one 1", "one 2", "ten 10", "ten 20"]));
});

test("state without a key, without a schema, in a batch, or by two schemas for one queue is refused at start", async () => {
  const Plain = command("carts.plain", { input: Item });
  const Other = command("carts.other", {
    input: Item,
    key: ({ cart }) => cart,
    queue: "carts.add",
  });
  const Many = command("carts.many", { input: Item, key: ({ cart }) => cart });
  const bad = service("bad")
    .handle(Plain, () => undefined, { state: Cart })
    .handle(Add, () => undefined, { state: Cart })
    .handle(Other, () => undefined, { state: z.number() })
    // @ts-expect-error -- a batch keeps no state
    .handleBatch(Many, () => undefined, { batch: { size: 2, maxAgeMs: 1 }, state: Cart });
  await assert.rejects(tested([bad]), (error: Error) => {
    assert.match(error.message, /the command has no key to keep it for/);
    assert.match(error.message, /share the state of each key, by two schemas/);
    assert.match(error.message, /a batch has messages of many keys/);
    return true;
  });
});

test("a transport whose sessions keep no state is refused at start, by contract, need and name", async () => {
  const without = (transport: Transport): Partial<Transport> => ({
    capabilities: { ...transport.capabilities, sessionStateBytesMax: 0 },
  });
  const carts = service("carts").handle(Add, () => undefined, { state: Cart });
  await assert.rejects(tested([carts], { transport: watched(memory(), without) }), {
    code: "NOT_SUPPORTED",
    message:
      /carts\.handle\(carts\.add\) keeps state .*"carts\.add", and memory has no sessions that keep any/,
  });
});

test("where settling is no transaction the state is written before", async () => {
  const order: string[] = [];
  const factory = watched(memory(), (transport) => ({
    capabilities: { ...transport.capabilities, atomicSettle: false },
    receive: (source, options, listener) =>
      transport.receive(source, options, {
        fault: (error) => listener.fault(error),
        deliver: (batch) => {
          for (const delivery of batch) {
            const settle = delivery.settle.bind(delivery);
            delivery.settle = async (settlement) => {
              order.push(
                `${JSON.stringify(settlement)} over ${String(await delivery.session?.read())}`,
              );
              return settle(settlement);
            };
          }
          listener.deliver(batch);
        },
      }),
  }));
  const carts = service("carts").handle(
    Add,
    async (_item, { session }) => session.write({ skus: [] }),
    { state: Cart },
  );
  await using it = await tested([carts], { transport: factory });
  await it.bus.send(Add, { cart: "a", sku: "1" });
  await until("settled", () => order.length === 1);
  assert.deepEqual(order, ['{"kind":"complete"} over {"skus":[]}']);
});
