import { type Command, type Event, type Schema, command, event } from "@waybill/contracts";
import { type Saga, type SagaRule, type StoreFactory, saga } from "@waybill/core";

/** A schema of plain objects: each field of its type, others refused. */
function shape<Value>(fields: Readonly<Record<keyof Value & string, string>>): Schema<Value> {
  const validate = (value: unknown): { value: Value } | { issues: { message: string }[] } => {
    const given = Object(value) as Record<string, unknown>;
    const names = new Set([...Object.keys(fields), ...Object.keys(given)]);
    const wrong = [...names].filter((name) => typeof given[name] !== Object(fields)[name]);
    return wrong.length === 0
      ? { value: value as Value }
      : { issues: [{ message: `${wrong.join()} do not fit` }] };
  };
  return { "~standard": { version: 1, vendor: "test", validate } };
}

export interface Order {
  readonly id: string;
  readonly cents: number;
}
export interface OrderState {
  cents: number;
  receipt: string;
}
interface ForOrder {
  readonly orderId: string;
}
interface Charge extends ForOrder {
  readonly cents: number;
}
interface Received extends ForOrder {
  readonly receipt: string;
}

const order = shape<Order>({ id: "string", cents: "number" });
const forOrder = shape<ForOrder>({ orderId: "string" });
const received = shape<Received>({ orderId: "string", receipt: "string" });
const charge = shape<Charge>({ orderId: "string", cents: "number" });

type Shown = Record<never, never>;

export const OrderPlaced: Event<"orders.placed", Order, Shown> = event("orders.placed", {
  payload: order,
});
export const OrderCompleted: Event<"orders.completed", ForOrder, Shown> = event(
  "orders.completed",
  { payload: forOrder },
);
export const CancelOrder: Command<"orders.cancel", ForOrder> = command("orders.cancel", {
  input: forOrder,
});
export const ReserveStock: Command<"stock.reserve", ForOrder> = command("stock.reserve", {
  input: forOrder,
});
export const ReleaseStock: Command<"stock.release", ForOrder> = command("stock.release", {
  input: forOrder,
});
export const StockReserved: Event<"stock.reserved", ForOrder, Shown> = event("stock.reserved", {
  payload: forOrder,
});
export const ChargeCard: Command<"payment.charge", Charge> = command("payment.charge", {
  input: charge,
});
export const RefundPayment: Command<"payment.refund", Charge> = command("payment.refund", {
  input: charge,
});
export const PaymentReceived: Event<"payment.received", Received, Shown> = event(
  "payment.received",
  { payload: received },
);
export const PaymentFailed: Event<"payment.failed", ForOrder, Shown> = event("payment.failed", {
  payload: forOrder,
});
export const ShipOrder: Command<"shipping.ship", ForOrder> = command("shipping.ship", {
  input: forOrder,
});
export const OrderShipped: Event<"shipping.shipped", ForOrder, Shown> = event("shipping.shipped", {
  payload: forOrder,
});
export const ShippingFailed: Event<"shipping.failed", ForOrder, Shown> = event("shipping.failed", {
  payload: forOrder,
});

export const paymentMs = 900_000;
export const archiveMs = 3_600_000;

export interface OrderProcessOptions {
  readonly store: StoreFactory<any>;
  readonly rules?: Partial<Record<"unknown" | "late" | "unexpected", SagaRule>>;
}

type Phase = "reserving" | "charging" | "shipping" | "completed" | "cancelled";

export type OrderProcess = Saga<
  {
    readonly state: OrderState;
    readonly phase: Phase;
    readonly timeout: "payment";
    readonly declared:
      | typeof ReserveStock
      | typeof ReleaseStock
      | typeof ChargeCard
      | typeof RefundPayment
      | typeof ShipOrder
      | typeof OrderCompleted;
    readonly client: any;
  },
  any
>;

/** Reserve, charge, ship; and back again where that fails. */
export function orderProcess({ store, rules = {} }: OrderProcessOptions): OrderProcess {
  const by = ({ orderId }: ForOrder): string => orderId;
  return saga("order-process", {
    store,
    state: shape<OrderState>({ cents: "number", receipt: "string" }),
    phases: ["reserving", "charging", "shipping", "completed", "cancelled"],
    sends: [ReserveStock, ReleaseStock, ChargeCard, RefundPayment, ShipOrder],
    publishes: [OrderCompleted],
    timeouts: ["payment"],
    archiveMs,
    ...rules,
  })
    .startedBy(
      OrderPlaced,
      { by: ({ id }) => id, state: ({ cents }) => ({ cents, receipt: "" }), to: ["reserving"] },
      async ({ id: orderId }, { send, undo }) => {
        await send(ReserveStock, { orderId });
        await undo(ReleaseStock, { orderId });
        return "reserving";
      },
    )
    .on(StockReserved, { by, in: ["reserving"], to: ["charging"] }, async (_event, own) => {
      await own.send(ChargeCard, { orderId: own.id, cents: own.state.cents });
      await own.timeout("payment", { afterMs: paymentMs });
      return "charging";
    })
    .on(PaymentReceived, { by, in: ["charging"], to: ["shipping"] }, async ({ receipt }, own) => {
      const { cents } = own.state;
      own.state.receipt = receipt;
      await own.undo(RefundPayment, { orderId: own.id, cents });
      await own.send(ShipOrder, { orderId: own.id });
      return "shipping";
    })
    .on(PaymentFailed, { by, in: ["charging"], to: ["cancelled"] }, async (_event, own) => {
      await own.compensate();
      return "cancelled";
    })
    .onTimeout("payment", { in: ["charging"], to: ["charging", "cancelled"] }, async (own) => {
      if (own.state.receipt === "") own.state.receipt = "reminded";
      else {
        await own.compensate();
        return "cancelled";
      }
      await own.timeout("payment", { afterMs: paymentMs });
      return "charging";
    })
    .on(OrderShipped, { by, in: ["shipping"], to: ["completed"] }, async (_event, own) => {
      await own.publish(OrderCompleted, { orderId: own.id });
      return "completed";
    })
    .on(ShippingFailed, { by, in: ["shipping"], to: ["cancelled"] }, async (_event, own) => {
      await own.compensate();
      await own.compensate();
      return "cancelled";
    })
    .on(
      CancelOrder,
      { by, in: ["reserving", "charging"], to: ["cancelled"] },
      async (_input, own) => {
        await own.compensate();
        return "cancelled";
      },
    );
}
