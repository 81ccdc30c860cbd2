import { type TestBusOptions, testBus } from "@waybill/testkit";
import type { Delivery, InputOf, Outgoing, Settlement, Transport, TransportFactory } from "waybill";
import type { PlaceOrder } from "./contracts/ordering.ts";
import { DataDirectory } from "./database.ts";
import { services } from "./services.ts";
import { type Settings, settingsDefault } from "./settings.ts";

export const visitor = "6a0f3f63-7a0c-4d54-9d3f-5f0a5f6f7a01";

const reliable: Settings = { ...settingsDefault, declines: 0, errors: 0 };

/** The whole shop in this process, on a clock that stands still. */
export async function testShop(settings: Partial<Settings> = {}, options: TestBusOptions = {}) {
  const data = new DataDirectory();
  const parts = [data, { ...reliable, ...settings }] as const;
  const [goods, basket] = services.basket(data);
  const bus = await testBus(
    [
      services.catalog(data),
      services.pricing(data),
      goods,
      basket,
      services.inventory(data),
      services.payment(...parts),
      services.shipping(...parts),
      ...services.ordering(data),
      services.notifications(data),
      services.telemetry(data),
    ],
    options,
  );
  await bus.views(goods).rebuild();
  return Object.assign(bus, {
    async [Symbol.asyncDispose]() {
      await bus.close();
      data[Symbol.dispose]();
    },
  });
}

type Wish = InputOf<typeof PlaceOrder>;

/** A standard customer's order of one mug, told apart by `n`. */
export function wish(
  n = 1,
  changes: Partial<Wish> & { sku?: string; quantity?: number } = {},
): Wish {
  const { sku = "mug", quantity = 1, ...rest } = changes;
  return {
    orderId: `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`,
    visitor,
    customer: { name: "Ada", region: "EU", tier: "standard" },
    lines: [{ sku, quantity, cents: 1_450 }],
    card: "good",
    payWithinMs: 60_000,
    ...rest,
  };
}

/** A broker that stores every command and event twice: at least once, at its worst. */
export function twice(inner: TransportFactory): TransportFactory {
  return {
    name: inner.name,
    open: async (host) => {
      const transport = await inner.open(host);
      const send: Transport["send"] = transport.send.bind(transport);
      const receive: Transport["receive"] = transport.receive.bind(transport);
      return Object.assign(transport, {
        send: (batch: readonly Outgoing[]) => send(doubled(batch)),
        receive: (...[source, options, listener]: Parameters<Transport["receive"]>) =>
          receive(source, options, {
            deliver: (batch) => listener.deliver(batch.map(settlingTwice)),
            fault: (error) => listener.fault(error),
          }),
      });
    },
  };
}

function doubled(batch: readonly Outgoing[]): readonly Outgoing[] {
  const isCall = ({ envelope }: Outgoing): boolean => envelope.header.correlationid !== undefined;
  return batch.flatMap((each) =>
    each.to.kind === "stream" || isCall(each) ? [each] : [each, each],
  );
}

function settlingTwice(delivery: Delivery): Delivery {
  const settle: Delivery["settle"] = delivery.settle.bind(delivery);
  return Object.assign(delivery, {
    settle: (settlement: Settlement) =>
      settlement.kind === "complete" && settlement.send !== undefined
        ? settle({ ...settlement, send: doubled(settlement.send) })
        : settle(settlement),
  });
}
