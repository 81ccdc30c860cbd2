import { connect, embedded, service } from "waybill";
import { Checklist } from "../actors/checklist.ts";
import { perform } from "../actors/stage.ts";
import { PlaceOrder } from "../workload.ts";
import { OrderPlaced } from "./contracts.ts";
import { type Place, openStore } from "./stores.ts";

export interface OrderingSettings extends Place {
  readonly concurrency: number;
}

/** The first service: for each command one row and one event. */
await perform(async ({ concurrency, ...place }: OrderingSettings) => {
  const { store, write } = await openStore(place, "ordering");
  const checklist = new Checklist();
  const options = { concurrency, prefetch: 2 * concurrency };
  const uses = { publishes: [OrderPlaced] as const };
  const { directory } = place;
  const ordering =
    store === undefined
      ? service("bench-ordering", uses).handle(
          PlaceOrder,
          async (order, { publish }) => {
            await publish(OrderPlaced, order);
            checklist.tick(order.number);
          },
          options,
        )
      : service("bench-ordering", { ...uses, store }).handle(
          PlaceOrder,
          async (order, { transaction, publish }) => {
            await write(transaction, order.id, order.number);
            await publish(OrderPlaced, order);
            checklist.tick(order.number);
          },
          options,
        );
  const bus = await connect({ transport: embedded({ directory }), services: [ordering] });
  return { round: (count) => checklist.expect(count), close: () => bus.close() };
});
