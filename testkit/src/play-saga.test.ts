import assert from "node:assert/strict";
import { test } from "node:test";
import { type Schema, event } from "@waybill/contracts";
import { type StoreFactory, saga } from "@waybill/core";
import * as orders from "./order-process.fixture.ts";
import { playSaga } from "./play-saga.ts";

const {
  OrderPlaced,
  StockReserved,
  PaymentReceived,
  PaymentFailed,
  ShippingFailed,
  OrderShipped,
  ReleaseStock,
  RefundPayment,
  ReserveStock,
  ChargeCard,
  OrderCompleted,
  CancelOrder,
  paymentMs,
} = orders;

/** Nothing is stored in a play. */
const store: StoreFactory = {
  name: "none",
  migrations: [],
  alarmAfterMs: { degraded: 1, failed: 2 },
  takeOverAfterMs: 10_000,
  open: () => Promise.reject(new Error("A play opens no store.")),
};
const process = orders.orderProcess({ store });
const placed = playSaga(process).given(OrderPlaced, { id: "o-1", cents: 500 });
const charging = placed.given(StockReserved, { orderId: "o-1" });
const shipping = charging.given(PaymentReceived, { orderId: "o-1", receipt: "r" });

test("given, when, then: phase, state, what was sent and published", async () => {
  const first = await playSaga(process).when(OrderPlaced, { id: "o-1", cents: 500 });
  assert.deepEqual([first.outcome, first.phase], ["ran", "reserving"]);
  assert.deepEqual(first.state, { cents: 500, receipt: "" });
  assert.deepEqual(first.sentOf(ReserveStock), [{ orderId: "o-1" }]);
  assert.deepEqual(first.undo, [{ command: "stock.release", input: { orderId: "o-1" } }]);
  const second = await placed.when(StockReserved, { orderId: "o-1" });
  assert.deepEqual(second.sentOf(ChargeCard), [{ orderId: "o-1", cents: 500 }]);
  assert.deepEqual(second.timeouts, [{ name: "payment", afterMs: paymentMs }]);
  assert.deepEqual(second.waitingFor, ["payment"]);
  const end = await shipping.when(OrderShipped, { orderId: "o-1" });
  assert.deepEqual([end.phase, end.isFinished], ["completed", true]);
  assert.deepEqual(end.publishedOf(OrderCompleted), [{ orderId: "o-1" }]);
  assert.deepEqual(end.undo, []);
});

test("compensation goes in reverse order of noting, once", async () => {
  const failed = await charging.when(PaymentFailed, { orderId: "o-1" });
  assert.deepEqual(
    failed.sent.map(({ contract }) => contract),
    [ReleaseStock.name],
  );
  const late = await shipping.when(ShippingFailed, { orderId: "o-1" });
  assert.deepEqual(
    late.sent.map(({ contract, value }) => [contract, value]),
    [
      [RefundPayment.name, { orderId: "o-1", cents: 500 }],
      [ReleaseStock.name, { orderId: "o-1" }],
    ],
  );
});

test("a play can be branched: none of its ends touches another", async () => {
  assert.equal((await charging.when(PaymentFailed, { orderId: "o-1" })).phase, "cancelled");
  const paid = await charging.when(PaymentReceived, { orderId: "o-1", receipt: "r" });
  assert.deepEqual(paid.state, { cents: 500, receipt: "r" });
});

test("what a saga cannot take is named: unknown, unexpected, late; a second start resets nothing", async () => {
  const other = await charging.when(StockReserved, { orderId: "o-2" });
  assert.deepEqual([other.outcome, other.phase], ["unknown", undefined]);
  const early = await charging.when(OrderShipped, { orderId: "o-1" });
  assert.deepEqual([early.outcome, early.phase], ["unexpected", "charging"]);
  const again = await charging.when(OrderPlaced, { id: "o-1", cents: 1 });
  assert.deepEqual([again.outcome, again.state?.cents], ["unexpected", 500]);
  const over = charging.given(PaymentFailed, { orderId: "o-1" });
  assert.equal((await over.when(OrderPlaced, { id: "o-1", cents: 1 })).outcome, "late");
  assert.equal((await over.when(StockReserved, { orderId: "o-1" })).outcome, "late");
  await assert.rejects(
    over.given(StockReserved, { orderId: "o-1" }).when(CancelOrder, { orderId: "o-1" }),
    {
      code: "OPTION_INVALID",
      message: /"late"/,
    },
  );
});

test("a timeout that was set anew, or whose phase has passed, comes no more", async () => {
  const first = await charging.whenTimeout("payment");
  assert.deepEqual(
    [first.outcome, first.phase, first.state?.receipt],
    ["ran", "charging", "reminded"],
  );
  const second = await charging.givenTimeout("payment").after(1).whenTimeout("payment");
  assert.deepEqual([second.phase, second.isFinished], ["cancelled", true]);
  assert.deepEqual(second.sentOf(ReleaseStock), [{ orderId: "o-1" }]);
  const passed = await shipping.whenTimeout("payment");
  assert.deepEqual([passed.outcome, passed.phase, passed.waitingFor], ["ended", "shipping", []]);
  await assert.rejects(placed.whenTimeout("payment"), { code: "NOT_FOUND" });
});

const anything: Schema<any> = {
  "~standard": { version: 1, vendor: "test", validate: (value) => ({ value }) },
};
const number: Schema<number> = {
  "~standard": {
    version: 1,
    vendor: "test",
    validate: (value) =>
      typeof value === "number" ? { value } : { issues: [{ message: "is no number" }] },
  },
};
const Began = event("x.began", { payload: anything });
const Went = event("x.went", { payload: anything });

const small = (act: (own: any) => unknown, to = "open") => {
  const one = saga("small", {
    store,
    state: number,
    phases: ["open", "shut"],
    sends: [ReserveStock],
    timeouts: ["soon"],
  })
    .startedBy(Began, { by: ({ id }) => id, state: () => 1, to: ["open"] }, () => "open")
    .on(Went, { by: ({ id }) => id, in: ["open"], to: ["open", "shut"] }, async (_value, own) => {
      await act(own);
      return to as "open";
    })
    .onTimeout("soon", { in: ["open"], to: ["shut"] }, () => "shut");
  return playSaga(one).given(Began, { id: "1" });
};

test("mistakes of a handler are errors with a name, and nothing of them stays", async () => {
  const went = (act: (own: any) => unknown, to?: string): Promise<unknown> =>
    small(act, to).when(Went, { id: "1" });
  await assert.rejects(
    went(() => undefined, "elsewhere"),
    TypeError,
  );
  await assert.rejects(
    went((own) => (own.state = "text")),
    { code: "MESSAGE_INVALID", message: /is no number/ },
  );
  await assert.rejects(
    went((own) => (own.state = 1n)),
    { code: "MESSAGE_INVALID" },
  );
  await assert.rejects(
    went((own) => own.undo(ReserveStock, { wrong: true })),
    { code: "MESSAGE_INVALID" },
  );
  await assert.rejects(
    went((own) => own.undo(ChargeCard, { orderId: "", cents: 1 })),
    { code: "CONTRACT_NOT_DECLARED" },
  );
  await assert.rejects(
    went((own) => own.timeout("never", { afterMs: 1 })),
    { code: "OPTION_INVALID" },
  );
  // Set for a phase that does not handle it. In a final phase nothing is waited for.
  assert.equal(
    ((await went((own) => own.timeout("soon", { afterMs: 1 }), "shut")) as any).phase,
    "shut",
  );
  await assert.rejects(
    went(async (own) => {
      for (let count = 0; count < 1_001; count++)
        await own.undo(ReserveStock, { orderId: String(count) });
    }),
    { code: "BODY_TOO_LARGE" },
  );
  // What nobody awaits is not forgotten.
  await assert.rejects(
    went((own) => {
      void own.undo(ReserveStock, { wrong: true });
    }),
    { code: "MESSAGE_INVALID" },
  );
});

test("an id is text of 1 to 256 characters, and the same by every transition of a message", async () => {
  for (const id of ["", "x".repeat(257), 7, "a\0b", "\ud800"])
    await assert.rejects(small(() => undefined).when(Went, { id }), {
      code: "MESSAGE_INVALID",
      message: /id of the saga/,
    });
  const two = saga("two", { store, state: number, phases: ["open", "shut"] })
    .startedBy(Began, { by: ({ id }) => id, state: () => 1, to: ["open"] }, () => "open")
    .on(Began, { by: ({ other }) => other, in: ["open"], to: ["shut"] }, () => "shut");
  await assert.rejects(playSaga(two).when(Began, { id: "1", other: "2" }), {
    code: "MESSAGE_INVALID",
    message: /2 ids/,
  });
  const again = playSaga(two).given(Began, { id: "1", other: "1" });
  assert.equal((await again.when(Began, { id: "1", other: "1" })).phase, "shut");
});

test("the diagram shows phases, transitions, starts and ends", () => {
  assert.equal(
    process.diagram(),
    `stateDiagram-v2
  [*] --> reserving : orders.placed
  reserving --> charging : stock.reserved
  charging --> shipping : payment.received
  charging --> cancelled : payment.failed
  charging --> charging : timeout payment
  charging --> cancelled : timeout payment
  shipping --> completed : shipping.shipped
  shipping --> cancelled : shipping.failed
  reserving --> cancelled : orders.cancel
  charging --> cancelled : orders.cancel
  completed --> [*]
  cancelled --> [*]`,
  );
  const odd = saga("odd", { store, state: number, phases: ["end", "not-yet"] }).startedBy(
    Began,
    { by: ({ id }) => id, state: () => 1, to: ["end", "not-yet"] },
    () => "end",
  );
  assert.match(odd.diagram(), /state "end" as phase_1\n {2}state "not-yet" as phase_2\n/);
});
