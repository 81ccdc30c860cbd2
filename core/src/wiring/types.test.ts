/**
 * What must compile and what must not. The compiler is the test: every `@ts-expect-error` that expects in vain
 * fails `tsc -b`. Nothing here runs but the proof that the file was loaded.
 */
import { test } from "node:test";
import { command, event, feed, query, stream } from "@waybill/contracts";
import * as z from "zod";
import type { Bus } from "../bus.ts";
import { type DeclaredBy, connect } from "../connect.ts";
import type { BatchContext, Context, FeedContext, Receipt, Verbs } from "../context.ts";
import { memory } from "../memory/index.ts";
import type { Position, StoredMessage } from "../ports/transport.ts";
import { complete, deadLetter, defer, retry } from "../handling/outcome.ts";
import { type Service, service } from "../service.ts";
import type { DeclaredIn } from "./uses.ts";

const Order = z.object({
  id: z.string(),
  total: z.number(),
  status: z.enum(["placed", "shipped"]),
});
type Order = z.infer<typeof Order>;
const Id = z.object({ id: z.string() });

const PlaceOrder = command("orders.place", { input: Order });
const CancelOrder = command("orders.cancel", { input: Id });
const OrderPlaced = event("orders.placed", {
  payload: Order,
  attributes: ({ status, total }) => ({
    region: "EU" as "EU" | "US",
    status,
    total,
    vip: total > 100,
  }),
});
const OrderLost = event("orders.lost", { payload: Id });
const GetOrder = query("orders.get", { input: Id, output: Order });
const CountOrders = query("orders.count", { input: Id, output: z.number() });
const WatchOrders = feed("orders.watch", { input: Id, item: Order, upstream: z.number() });
const TailOrders = feed("orders.tail", { input: Id, item: z.string() });
const FollowOrders = feed("orders.follow", {
  input: Id,
  item: Order,
  resume: { cursor: z.int(), of: (item) => item.total },
});
const OrderLog = stream("orders.log", { item: Order, key: ({ id }) => id });
const OtherLog = stream("orders.other", { item: Id, key: ({ id }) => id });

const order: Order = { id: "1", total: 1, status: "placed" };

/* oxlint-disable typescript/no-unnecessary-type-parameters -- the compiler compares conditional types over an open T exactly */
type Same<One, Other> =
  (<T>() => T extends One ? 1 : 2) extends <T>() => T extends Other ? 1 : 2 ? true : false;
/* oxlint-enable typescript/no-unnecessary-type-parameters */
function same<One, Other>(_proof: Same<One, Other>): void {
  // The argument is the test.
}

const uses = {
  sends: [PlaceOrder],
  publishes: [OrderPlaced],
  asks: [GetOrder],
  opens: [WatchOrders, TailOrders, FollowOrders],
  appends: [OrderLog],
} as const;
const orders = service("orders", uses);

type Declared = DeclaredIn<typeof uses>;
same<
  Declared,
  | typeof PlaceOrder
  | typeof OrderPlaced
  | typeof GetOrder
  | typeof WatchOrders
  | typeof TailOrders
  | typeof FollowOrders
  | typeof OrderLog
>(true);

/** The same five verbs stand on a context and on a bus. */
async function verbs(it: Verbs<Declared>): Promise<void> {
  // send
  same<Awaited<ReturnType<typeof it.send>>, Receipt>(true);
  await it.send(PlaceOrder, order);
  await it.send(PlaceOrder, { id: "1", total: 1, status: "placed" }); // a literal stays one
  await it.send(PlaceOrder, order, { delayMs: 1, id: "mine", ttlMs: 5 });
  // @ts-expect-error a command that is not among the uses
  await it.send(CancelOrder, { id: "1" });
  // @ts-expect-error an event is not sent but published
  await it.send(OrderPlaced, order);
  // @ts-expect-error a query is not sent but asked
  await it.send(GetOrder, { id: "1" });
  // @ts-expect-error a field is missing in the input
  await it.send(PlaceOrder, { id: "1", total: 1 });
  // @ts-expect-error a field of the input has another type
  await it.send(PlaceOrder, { id: 1, total: 1, status: "placed" });
  // @ts-expect-error a status that does not exist
  await it.send(PlaceOrder, { id: "1", total: 1, status: "lost" });
  // @ts-expect-error a field that the input does not have
  await it.send(PlaceOrder, { id: "1", total: 1, status: "placed", colour: "red" });
  // @ts-expect-error an option that does not exist
  await it.send(PlaceOrder, order, { delay: 1 });

  // publish
  await it.publish(OrderPlaced, order);
  // @ts-expect-error an event that is not among the uses
  await it.publish(OrderLost, { id: "1" });
  // @ts-expect-error a command is not published but sent
  await it.publish(PlaceOrder, order);
  // @ts-expect-error the payload of another event
  await it.publish(OrderPlaced, { id: "1" });

  // ask
  const got = await it.ask(GetOrder, { id: "1" });
  same<typeof got, Order>(true);
  same<(typeof got)["status"], "placed" | "shipped">(true);
  // @ts-expect-error a query that is not among the uses
  await it.ask(CountOrders, { id: "1" });
  // @ts-expect-error a feed is not asked but opened
  await it.ask(WatchOrders, { id: "1" });
  // @ts-expect-error the input has another type
  await it.ask(GetOrder, { id: 1 });
  // @ts-expect-error the answer is an order and no number
  const wrong: number = await it.ask(GetOrder, { id: "1" });
  void wrong;
  // @ts-expect-error an answer is waited for with timeoutMs
  await it.ask(GetOrder, { id: "1" }, { timeout: 1 });

  // open
  for await (const item of it.open(WatchOrders, { id: "1" }, { upstream: numbers() }))
    same<typeof item, Order>(true);
  for await (const item of it.open(TailOrders, { id: "1" })) same<typeof item, string>(true);
  // @ts-expect-error a query is not opened but asked
  it.open(GetOrder, { id: "1" });
  // @ts-expect-error the input has another type
  it.open(TailOrders, { id: 1 });
  // @ts-expect-error the upstream items have another type
  it.open(WatchOrders, { id: "1" }, { upstream: texts() });
  // @ts-expect-error a feed that declares no upstream takes none
  it.open(TailOrders, { id: "1" }, { upstream: numbers() });

  for await (const item of it.open(FollowOrders, { id: "1" }, { resumeFrom: 3 }))
    same<typeof item, Order>(true);
  it.open(FollowOrders, { id: "1" }, { resume: { attempts: 3 }, timeoutMs: 1_000 });
  it.open(FollowOrders, { id: "1" }, { resume: false });
  // @ts-expect-error the cursor has another type
  it.open(FollowOrders, { id: "1" }, { resumeFrom: "3" });
  // @ts-expect-error a bound that does not exist
  it.open(FollowOrders, { id: "1" }, { resume: { retries: 3 } });
  // @ts-expect-error a feed that declares no resume begins at its beginning
  it.open(TailOrders, { id: "1" }, { resumeFrom: "3" });
  // @ts-expect-error a feed that declares no resume is not opened again
  it.open(TailOrders, { id: "1" }, { resume: {} });
  // @ts-expect-error a feed that is resumed takes no upstream items
  it.open(FollowOrders, { id: "1" }, { upstream: numbers() });

  // append
  await it.append(OrderLog, order);
  // @ts-expect-error a stream that is not among the uses
  await it.append(OtherLog, { id: "1" });
  // @ts-expect-error an event is not appended but published
  await it.append(OrderPlaced, order);
  // @ts-expect-error the item of another stream
  await it.append(OrderLog, { id: "1" });
  // @ts-expect-error a stream keeps the order of appending, so nothing in it is delayed
  await it.append(OrderLog, order, { delayMs: 1 });
}

async function* numbers(): AsyncIterable<number> {
  yield 1;
}
async function* texts(): AsyncIterable<string> {
  yield "";
}

// A service without uses may send nothing, and nothing wrong stands among uses.
function declared(): void {
  service("quiet").handle(PlaceOrder, async (_input, context) => {
    // @ts-expect-error it declares nothing
    await context.publish(OrderPlaced, order);
  });
  // @ts-expect-error an event among the commands
  service("wrong", { sends: [OrderPlaced] });
  // @ts-expect-error a query among the events
  service("wrong", { publishes: [GetOrder] });
  // @ts-expect-error a command among the queries
  service("wrong", { asks: [PlaceOrder] });
  // @ts-expect-error a stream among the feeds
  service("wrong", { opens: [OrderLog] });
  // @ts-expect-error a feed among the streams
  service("wrong", { appends: [WatchOrders] });
  // @ts-expect-error "send" is no key of the uses
  service("wrong", { send: [PlaceOrder] });
}

// Handlers of batches.
const batch = { size: 10, maxAgeMs: 10 };
function batches(): void {
  orders.handleBatch(
    PlaceOrder,
    async (items, context) => {
      same<typeof context, BatchContext<Declared>>(true);
      await context.publish(OrderPlaced, order);
      // @ts-expect-error a batch has no attempt, its messages have
      void context.attempt;
      for (const item of items) {
        same<typeof item.value, Order>(true);
        same<typeof item.context, Context<Declared>>(true);
        if (item.context.attempt > 2) item.mark(deadLetter("enough"));
        // @ts-expect-error a command that is not among the uses
        await item.context.send(CancelOrder, { id: "1" });
        // @ts-expect-error an outcome that does not exist
        item.mark({ outcome: "approved" });
      }
    },
    { batch, concurrency: 2, retry: { attempts: 2 } },
  );
  orders.onBatch(OrderPlaced, () => undefined, { batch, where: { region: "EU" } });
  orders.consumeBatch(
    OrderLog,
    ([first]) => void (first === undefined || same<typeof first.context.position, Position>(true)),
    { batch, group: "readers" },
  );
  // @ts-expect-error the bounds are missing
  orders.handleBatch(PlaceOrder, () => undefined);
  // @ts-expect-error the oldest message waits for how long?
  orders.handleBatch(PlaceOrder, () => undefined, { batch: { size: 10 } });
  // @ts-expect-error a bound that does not exist
  orders.handleBatch(PlaceOrder, () => undefined, { batch: { ...batch, maxCount: 1 } });
  // @ts-expect-error an event is subscribed to: onBatch()
  orders.handleBatch(OrderPlaced, () => undefined, { batch });
  // @ts-expect-error an outcome would be for all: mark single messages
  orders.handleBatch(PlaceOrder, () => retry(), { batch });
  // @ts-expect-error the handler takes a list
  orders.handleBatch(PlaceOrder, (input: Order) => void input, { batch });
  orders.on(OrderPlaced, () => undefined, { everyInstance: true });
  // @ts-expect-error a command has one owner, whatever runs it
  orders.handle(PlaceOrder, () => undefined, { everyInstance: true });
  // @ts-expect-error the event shows no such attribute
  orders.onBatch(OrderPlaced, () => undefined, { batch, where: { colour: "red" } });
  // @ts-expect-error the items of another stream
  orders.consumeBatch(OtherLog, (items: readonly { value: Order }[]) => void items, { batch });
}

// State of a key.
function states(): void {
  const Keyed = command("orders.keyed", { input: Order, key: ({ id }) => id });
  const state = z.object({ count: z.number() });
  orders.handle(
    Keyed,
    async (_input, { session }) => {
      const kept = await session.read();
      same<typeof kept, { count: number } | undefined>(true);
      await session.write({ count: (kept?.count ?? 0) + 1 });
      await session.write(undefined);
      // @ts-expect-error the state has another type
      await session.write({ count: "1" });
    },
    { state, onDeadLetter: "park" },
  );
  orders.on(OrderPlaced, async (_input, { session }) => session.write(1), { state: z.number() });
  // @ts-expect-error without a schema there is no session
  orders.handle(Keyed, (_input, { session }) => void session);
  // @ts-expect-error an option that does not exist
  orders.handle(Keyed, () => undefined, { state, keep: true });
  // @ts-expect-error a query keeps nothing
  orders.answer(GetOrder, () => order, { state });
  // @ts-expect-error a partition is no session
  orders.consume(OrderLog, () => undefined, { state });
}

// Handlers.
function handlers(): void {
  orders.handle(PlaceOrder, (input, context) => {
    same<typeof input, Order>(true);
    same<typeof context, Context<Declared>>(true);
  });
  orders.handle(PlaceOrder, () => complete());
  orders.handle(PlaceOrder, async () => retry({ afterMs: 1 }));
  orders.handle(PlaceOrder, ({ total }) => (total > 1 ? deadLetter("too much") : defer()));
  // @ts-expect-error an event has no owner: on()
  orders.handle(OrderPlaced, () => undefined);
  // @ts-expect-error a query is answered
  orders.handle(GetOrder, () => undefined);
  // @ts-expect-error a handler of a command answers nothing
  orders.handle(PlaceOrder, () => "done");
  // @ts-expect-error an outcome that does not exist
  orders.handle(PlaceOrder, () => ({ outcome: "approved" }));
  // @ts-expect-error the input has no such field
  orders.handle(PlaceOrder, ({ colour }) => void colour);
  // @ts-expect-error the handler wants another input
  orders.handle(PlaceOrder, (input: { id: number }) => void input);
  orders.handle(PlaceOrder, () => undefined, {
    concurrency: 2,
    orderedBy: ({ id }) => id,
    retry: { attempts: 2 },
  });
  // @ts-expect-error many messages at once: handleBatch()
  orders.handle(PlaceOrder, () => undefined, { batch: { size: 10, maxAgeMs: 10 } });
  // @ts-expect-error the key is text
  orders.handle(PlaceOrder, () => undefined, { orderedBy: ({ total }) => total });
  // @ts-expect-error an option that does not exist
  orders.handle(PlaceOrder, () => undefined, { parallel: 2 });
  // @ts-expect-error a rule is for events
  orders.handle(PlaceOrder, () => undefined, { where: {} });

  orders.on(OrderPlaced, (payload) => same<typeof payload, Order>(true));
  // @ts-expect-error a command is handled
  orders.on(PlaceOrder, () => undefined);
  orders.on(OrderPlaced, () => undefined, {
    where: { region: "EU", total: { gt: 100 }, vip: true, status: { in: ["placed"] } },
  });
  orders.on(OrderPlaced, () => undefined, {
    where: {
      or: [{ region: "US" }, { not: { total: { lte: 5 } } }],
      and: [{ vip: { exists: true } }],
    },
  });
  // @ts-expect-error the event shows no such attribute
  orders.on(OrderPlaced, () => undefined, { where: { colour: "red" } });
  orders.on(OrderPlaced, () => undefined, { set: { tier: "gold", region: "US", vip: null } });
  // @ts-expect-error the attribute is a number
  orders.on(OrderPlaced, () => undefined, { set: { total: "100" } });
  // @ts-expect-error the attribute never has this value
  orders.on(OrderPlaced, () => undefined, { set: { region: "AP" } });
  // @ts-expect-error no value of an attribute
  orders.on(OrderPlaced, () => undefined, { set: { tier: { name: "gold" } } });
  // @ts-expect-error only subscriptions change attributes
  orders.handle(PlaceOrder, () => undefined, { set: { tier: "gold" } });
  // @ts-expect-error the attribute is a number
  orders.on(OrderPlaced, () => undefined, { where: { total: "100" } });
  // @ts-expect-error the attribute never has this value
  orders.on(OrderPlaced, () => undefined, { where: { region: "AP" } });
  // @ts-expect-error an operator that does not exist
  orders.on(OrderPlaced, () => undefined, { where: { total: { above: 1 } } });
  // @ts-expect-error only text has a prefix
  orders.on(OrderPlaced, () => undefined, { where: { total: { prefix: "1" } } });
  // @ts-expect-error a wrong attribute inside a join
  orders.on(OrderPlaced, () => undefined, { where: { or: [{ colour: "red" }] } });

  orders.answer(GetOrder, ({ id }) => ({ id, total: 1, status: "placed" })); // the literal is not widened
  orders.answer(GetOrder, async ({ id }) => ({ id, total: 1, status: "shipped" }));
  orders.answer(CountOrders, () => 1);
  // @ts-expect-error the answer lacks a field
  orders.answer(GetOrder, ({ id }) => ({ id, total: 1 }));
  // @ts-expect-error a status that does not exist
  orders.answer(GetOrder, ({ id }) => ({ id, total: 1, status: "lost" }));
  // @ts-expect-error the answer is a number
  orders.answer(CountOrders, async () => "1");
  // @ts-expect-error a query must be answered
  orders.answer(CountOrders, () => undefined);
  // @ts-expect-error a command is handled
  orders.answer(PlaceOrder, () => undefined);

  orders.serve(WatchOrders, async function* ({ id }, context) {
    same<typeof context, FeedContext<Declared, number>>(true);
    for await (const item of context.upstream) same<typeof item, number>(true);
    yield { id, total: 1, status: "placed" };
  });
  orders.serve(FollowOrders, async function* ({ id }, context) {
    same<typeof context, FeedContext<Declared, never, number>>(true);
    same<typeof context.resumeFrom, number | undefined>(true);
    yield { id, total: (context.resumeFrom ?? 0) + 1, status: "placed" };
  });
  orders.serve(TailOrders, async function* (_input, context) {
    same<typeof context.resumeFrom, undefined>(true);
    yield "";
  });
  async function* byText(_input: { id: string }, context: FeedContext<Declared, never, string>) {
    yield { ...order, total: Number(context.resumeFrom) };
  }
  // @ts-expect-error the handler wants a cursor of another type
  orders.serve(FollowOrders, byText);
  // @ts-expect-error the items are texts
  orders.serve(TailOrders, async function* () {
    yield 1;
  });
  // @ts-expect-error a feed gives many items, not one
  orders.serve(TailOrders, async () => "one");
  // @ts-expect-error a query is answered
  orders.serve(GetOrder, async function* () {
    yield order;
  });

  orders.consume(OrderLog, (item, { position }) => {
    same<typeof item, Order>(true);
    void position?.offset;
  });
  orders.consume(OrderLog, () => undefined, { group: "second", start: "latest" });
  // @ts-expect-error an event is not consumed
  orders.consume(OrderPlaced, () => undefined);
  // @ts-expect-error partitions give the order, so there is no key to give
  orders.consume(OrderLog, () => undefined, { orderedBy: () => "" });
  // @ts-expect-error the item has no such field
  orders.consume(OrderLog, ({ colour }) => void colour);
}

// Resuming is declared with a schema of cursors and a way to find an item's.
function resumes(): void {
  const [input, item] = [Id, Order];
  const [cursor, of] = [z.int(), ({ total }: Order) => total];
  feed("orders.good", { input, item, resume: { cursor, of } });
  // @ts-expect-error the cursor that is found is not of the schema's type
  feed("orders.bad", { input, item, resume: { cursor, of: ({ id }) => id } });
  // @ts-expect-error a cursor is text or a number
  feed("orders.bad", { input, item, resume: { cursor: z.date(), of: () => new Date(0) } });
  // @ts-expect-error the item has no such field
  feed("orders.bad", { input, item: Id, resume: { cursor, of } });
  // @ts-expect-error no cursor is found without a way to it
  feed("orders.bad", { input, item, resume: { cursor } });
  // @ts-expect-error upstream items do not outlive their server
  feed("orders.bad", { input, item, upstream: z.number(), resume: { cursor, of } });
}

// A bus takes what its services use and what they bind, and nothing else.
async function buses(): Promise<void> {
  const bus = await connect({
    transport: memory(),
    services: [
      service("shop", { asks: [GetOrder] }),
      service("orders")
        .handle(CancelOrder, () => undefined)
        .on(OrderLost, () => undefined),
    ],
  });
  same<typeof bus, Bus<typeof GetOrder | typeof CancelOrder | typeof OrderLost>>(true);
  same<Awaited<ReturnType<typeof asked>>, Order>(true);
  const asked = () => bus.ask(GetOrder, { id: "1" });
  await bus.send(CancelOrder, { id: "1" });
  await bus.publish(OrderLost, { id: "1" });
  // @ts-expect-error no service declares it
  await bus.send(PlaceOrder, order);
  // @ts-expect-error no service declares it
  await bus.ask(CountOrders, { id: "1" });
  // @ts-expect-error the wrong verb
  await bus.publish(CancelOrder, { id: "1" });
  await bus.streams.seek(OrderLog, "orders", { at: new Date(0) });
  // @ts-expect-error a moment is a date
  await bus.streams.seek(OrderLog, "orders", { at: 0 });
  // @ts-expect-error an event has no groups
  await bus.streams.groups(OrderPlaced);
  const message = {} as StoredMessage;
  same<Awaited<ReturnType<typeof read>>, Order>(true);
  const read = () => bus.deferred.readAs(PlaceOrder, message);
  const list: readonly [Service<{ sends: [typeof PlaceOrder] }, never>] = [
    service("sender", { sends: [PlaceOrder] }),
  ];
  same<DeclaredBy<typeof list>, typeof PlaceOrder>(true);
  // @ts-expect-error services are values of service()
  await connect({ transport: memory(), services: [{ name: "x" }] });
  await connect({ transport: { commands: memory(), default: "sqlite:./data" }, services: [] });
  // @ts-expect-error kinds are named in the plural
  await connect({ transport: { command: memory() }, services: [] });
  // @ts-expect-error a transport or its URL stands there
  await connect({ transport: { commands: 7 }, services: [] });
}

test("the types hold", () => {
  void [verbs, declared, batches, states, handlers, resumes, buses];
});
