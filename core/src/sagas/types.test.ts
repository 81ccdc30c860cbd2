/** What must compile and what must not. The compiler is the test, as in `wiring/types.test.ts`. */
import { test } from "node:test";
import { command, event, query } from "@waybill/contracts";
import * as z from "zod";
import { type DeclaredBy, connect } from "../connect.ts";
import { memory } from "../memory/index.ts";
import type { StoreFactory } from "../ports/store.ts";
import { service } from "../service.ts";
import { type SagaContextOf, saga } from "./saga.ts";

interface Client {
  readonly insert: (text: string) => void;
}
declare const store: StoreFactory<Client>;

const Order = z.object({ id: z.string(), cents: z.number() });
const State = z.object({ order: Order, receipt: z.string().optional() });
const OrderPlaced = event("orders.placed", { payload: Order });
const Cancel = command("orders.cancel", { input: z.object({ orderId: z.string() }) });
const StockReserved = event("stock.reserved", { payload: z.object({ orderId: z.string() }) });
const Reserve = command("stock.reserve", { input: Order });
const Release = command("stock.release", { input: z.object({ orderId: z.string() }) });
const Charge = command("payment.charge", { input: z.object({ cents: z.number() }) });
const Done = event("orders.done", { payload: z.object({ orderId: z.string() }) });
const GetPrice = query("prices.get", { input: Order, output: z.number() });

const options = {
  state: State,
  phases: ["reserving", "charging", "done", "cancelled"],
  sends: [Reserve, Release],
  publishes: [Done],
  timeouts: ["payment"],
} as const;

function transitions(): void {
  const base = saga("orders", { ...options, store });
  const started = base.startedBy(
    OrderPlaced,
    { by: (order) => order.id, state: (order) => ({ order }), to: ["reserving"] },
    async (order, own) => {
      own.state.order.cents += order.cents;
      own.transaction.insert(own.id);
      await own.send(Reserve, order);
      await own.undo(Release, { orderId: order.id });
      // @ts-expect-error it is not declared
      await own.send(Charge, { cents: 1 });
      // @ts-expect-error the wrong verb
      await own.publish(Reserve, order);
      // @ts-expect-error the input of another command
      await own.undo(Release, order);
      // @ts-expect-error an event cannot take anything back
      await own.undo(Done, { orderId: "" });
      // @ts-expect-error a saga does not wait for answers
      await own.ask(GetPrice, order);
      // @ts-expect-error a timeout that is not declared
      await own.timeout("delivery", { afterMs: 1 });
      // @ts-expect-error a timeout needs its time
      await own.timeout("payment", {});
      // @ts-expect-error no part of the state
      own.state.colour = "red";
      // @ts-expect-error a state without its order
      own.state = {};
      return "reserving";
    },
  );
  void started;
  const by = ({ orderId }: { readonly orderId: string }): string => orderId;
  base.on(StockReserved, { by, in: ["reserving"], to: ["charging", "done"] }, (_event, own) =>
    own.state.receipt === undefined ? "charging" : "done",
  );
  base.on(Cancel, { by, in: ["reserving"], to: ["cancelled"] }, () => "cancelled");
  // @ts-expect-error a phase that its `to` does not name
  base.on(StockReserved, { by, in: ["reserving"], to: ["charging"] }, () => "done");
  // @ts-expect-error no phase is answered
  base.on(StockReserved, { by, in: ["reserving"], to: ["charging"] }, () => undefined);
  // @ts-expect-error a phase that is not declared
  base.on(StockReserved, { by, in: ["waiting"], to: ["charging"] }, () => "charging");
  // @ts-expect-error the event has no such field
  base.on(StockReserved, { by: ({ id }) => id, in: ["reserving"], to: ["done"] }, () => "done");
  // @ts-expect-error it moves on from somewhere
  base.on(StockReserved, { by, to: ["charging"] }, () => "charging");
  // @ts-expect-error a query moves nothing on
  base.on(GetPrice, { by, in: ["reserving"], to: ["charging"] }, () => "charging");
  const start = { by: ({ id }: { readonly id: string }) => id, to: ["reserving"] } as const;
  // @ts-expect-error it starts with a state
  base.startedBy(OrderPlaced, start, () => "reserving");
  // @ts-expect-error it starts with another state
  base.startedBy(OrderPlaced, { ...start, state: () => ({ receipt: "" }) }, () => "reserving");
  base.onTimeout("payment", { in: ["charging"], to: ["cancelled"] }, async (own) => {
    await own.compensate();
    return "cancelled";
  });
  // @ts-expect-error a timeout that is not declared
  base.onTimeout("delivery", { in: ["charging"], to: ["cancelled"] }, () => "cancelled");
}

function declarations(): void {
  // @ts-expect-error it needs a store
  saga("orders", { state: State, phases: ["open"] });
  // @ts-expect-error it needs a state
  saga("orders", { store, phases: ["open"] });
  // @ts-expect-error a rule that does not exist
  saga("orders", { store, state: State, phases: ["open"], late: "forget" });
  // @ts-expect-error an option that does not exist
  saga("orders", { store, state: State, phases: ["open"], asks: [GetPrice] });
  // @ts-expect-error an event is not sent
  saga("orders", { store, state: State, phases: ["open"], sends: [Done] });
}

async function buses(): Promise<void> {
  const orders = saga("orders", { ...options, store }).startedBy(
    OrderPlaced,
    { by: ({ id }) => id, state: (order) => ({ order }), to: ["reserving"] },
    helped,
  );
  async function helped(
    order: z.infer<typeof Order>,
    own: SagaContextOf<typeof plain>,
  ): Promise<"reserving"> {
    await own.send(Reserve, order);
    return "reserving";
  }
  const plain = saga("orders", { ...options, store });
  const bus = await connect({ transport: memory(), services: [orders, service("other")] });
  await bus.publish(OrderPlaced, { id: "1", cents: 1 });
  await bus.send(Release, { orderId: "1" });
  // @ts-expect-error no service declares it
  await bus.send(Charge, { cents: 1 });
  const found = await bus.sagas(orders).find("1");
  const cents: number | undefined = found?.state.order.cents;
  const phase: "reserving" | "charging" | "done" | "cancelled" | undefined = found?.phase;
  // @ts-expect-error no phase of it
  await bus.sagas(orders).list({ phase: "open" });
  // @ts-expect-error a service is not a saga
  bus.sagas(service("other"));
  const known: DeclaredBy<readonly [typeof orders]>["name"] = "orders.placed";
  void [cents, phase, known];
}

test("the types of sagas hold", () => {
  void [transitions, declarations, buses];
});
