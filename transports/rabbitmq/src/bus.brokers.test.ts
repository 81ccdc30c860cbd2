import assert from "node:assert/strict";
import { setTimeout as pause } from "node:timers/promises";
import { test } from "node:test";
import { type Schema, command, event, feed, query } from "@waybill/contracts";
import { connect, service } from "@waybill/core";
import { Corner, until } from "./corner.test.support.ts";
import { url } from "./subject.test.support.ts";

type Order = { readonly id: string; readonly region: string; readonly total: number };

const Order: Schema<Order> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) =>
      typeof Object(value).id === "string"
        ? { value: value as Order }
        : { issues: [{ message: "must have an id", path: ["id"] }] },
  },
};

function contracts(name: (word: string) => string) {
  return {
    PlaceOrder: command(name("place-order"), { input: Order }),
    OrderPlaced: event(name("order-placed"), { payload: Order, attributes: (order) => order }),
    GetOrder: query(name("get-order"), { input: Order, output: Order }),
    Watch: feed(name("watch"), { input: Order, item: Order }),
  };
}

const order = (id: string, total = 5): Order => ({ id, region: "EU", total });
const quick = { immediate: 0, delayMs: 100, factor: 1, jitter: 0 } as const;

test("a command is handled, its event reaches who subscribes, and a rule leaves out the rest, which is counted and nowhere else", async () => {
  await using corner = new Corner();
  const { PlaceOrder, OrderPlaced } = contracts((word) => corner.name(word));
  const all: string[] = [];
  const large: string[] = [];
  const ordering = service("ordering", { publishes: [OrderPlaced] }).handle(
    PlaceOrder,
    async (placed, context) => {
      await context.publish(OrderPlaced, placed);
    },
  );
  const shipping = service("shipping").on(OrderPlaced, ({ id }) => void all.push(id));
  const watching = service("watching").on(OrderPlaced, ({ id }) => void large.push(id), {
    where: { region: "EU", total: { gt: 100 } },
  });
  await using orders = await connect({ ...corner.options, services: [ordering] });
  await using others = await connect({ ...corner.options, services: [shipping, watching] });
  for (const [id, total] of [
    ["1", 5],
    ["2", 500],
    ["3", 50],
  ] as const)
    await orders.send(PlaceOrder, order(id, total));
  await until("all arrived", async () => {
    const counted = (await others.health()).contracts[OrderPlaced.name];
    return counted?.handled === 4 && counted.filtered === 2;
  });
  assert.deepEqual([all.toSorted(), large], [["1", "2", "3"], ["2"]]);
  assert.deepEqual(await others.deadLetters.list(), []);
});

test("queries and feeds go over it", async () => {
  await using corner = new Corner();
  const { GetOrder, Watch } = contracts((word) => corner.name(word));
  const owner = service("owner")
    .answer(GetOrder, ({ id }) => order(id, 7))
    .serve(Watch, async function* ({ id }) {
      for (let item = 1; item <= 50; item++) {
        yield order(`${id}.${item}`);
        await pause(0);
      }
    });
  await using _ = await connect({ ...corner.options, services: [owner] });
  await using caller = await connect({
    ...corner.options,
    services: [service("caller", { asks: [GetOrder], opens: [Watch] })],
  });
  const answers = await Promise.all(
    Array.from({ length: 20 }, (__, index) => caller.ask(GetOrder, order(`${index}`))),
  );
  assert.deepEqual(
    answers.map(({ id, total }) => [id, total]),
    Array.from({ length: 20 }, (__, index) => [`${index}`, 7]),
  );
  const items: string[] = [];
  for await (const { id } of caller.open(Watch, order("a"))) items.push(id);
  assert.deepEqual(
    items,
    Array.from({ length: 50 }, (__, index) => `a.${index + 1}`),
  );
});

test("what fails is retried by the broker's delay, then a dead letter that can be read and replayed", async () => {
  await using corner = new Corner();
  const { PlaceOrder } = contracts((word) => corner.name(word));
  const attempts: number[] = [];
  let broken = true;
  const ordering = service("ordering").handle(
    PlaceOrder,
    (_, { attempt }) => {
      attempts.push(attempt);
      if (broken) throw new Error("the printer is on fire");
    },
    { retry: { ...quick, attempts: 3 } },
  );
  await using bus = await connect({ ...corner.options, services: [ordering] });
  await bus.send(PlaceOrder, order("1"));
  await until("a dead letter", async () => (await bus.deadLetters.list()).length === 1);
  const [letter] = await bus.deadLetters.list();
  assert.deepEqual(attempts, [1, 2, 3]);
  assert.deepEqual(
    [letter?.failure?.message, letter?.failure?.attempts, letter?.failure?.service],
    ["the printer is on fire", 3, "ordering"],
  );
  broken = false;
  assert.equal(await bus.deadLetters.replay([letter?.handle ?? ""]), 1);
  await until("handled", async () => {
    const { contracts: counted } = await bus.health();
    return counted[PlaceOrder.name]?.handled === 1;
  });
  assert.deepEqual(attempts, [1, 2, 3, 1]);
  assert.deepEqual(await bus.deadLetters.list(), []);
});

test("closing under load loses nothing and repeats nothing", async () => {
  await using corner = new Corner();
  const { PlaceOrder, OrderPlaced } = contracts((word) => corner.name(word));
  const count = 2_000;
  const handled = new Map<string, number>();
  const heard = new Map<string, number>();
  const seen = (counts: Map<string, number>, id: string): void =>
    void counts.set(id, (counts.get(id) ?? 0) + 1);
  const ordering = service("ordering", { publishes: [OrderPlaced] }).handle(
    PlaceOrder,
    async (placed, context) => {
      await pause(1);
      seen(handled, placed.id);
      await context.publish(OrderPlaced, placed);
    },
    { retry: { ...quick, attempts: 20 } },
  );
  const shipping = service("shipping").on(OrderPlaced, ({ id }) => seen(heard, id));
  await using listening = await connect({ ...corner.options, services: [shipping] });
  await using sender = await connect({
    ...corner.options,
    services: [service("sender", { sends: [PlaceOrder] })],
  });
  const sending = Promise.all(
    Array.from({ length: count }, (_, index) => sender.send(PlaceOrder, order(`${index}`))),
  );
  for (let rounds = 0; rounds < 4; rounds++) {
    const bus = await connect({ ...corner.options, services: [ordering] });
    const before = handled.size;
    await until("it works", () => handled.size >= Math.min(count, before + 100));
    await bus.close({ deadlineMs: 5_000 });
  }
  await sending;
  await using last = await connect({ ...corner.options, services: [ordering] });
  await until("all", () => heard.size === count);
  assert.deepEqual(await last.deadLetters.list(), []);
  assert.equal(handled.size, count);
  assert.deepEqual(
    [...handled].filter(([, times]) => times > 1),
    [],
  );
  assert.deepEqual(
    [...heard].filter(([, times]) => times > 1),
    [],
  );
  assert.equal((await listening.deadLetters.list()).length, 0);
});

test("connect takes a URL of it", async () => {
  await using bus = await connect({ transport: url, services: [service("nobody")] });
  assert.equal((await bus.health()).status, "up");
});
