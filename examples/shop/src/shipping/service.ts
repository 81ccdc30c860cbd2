import { service } from "waybill";
import {
  CountParcels,
  DeliverParcel,
  OrderDelivered,
  OrderShipped,
  ShipOrder,
} from "../contracts/shipping.ts";
import { SensorReadings } from "../contracts/telemetry.ts";
import type { Settings } from "../settings.ts";
import type { Parcels } from "./data.ts";

/** Packs parcels and drives them to their customers. Its vans report their temperature: `vans.ts`. */
export const shipping = (parcels: Parcels, { deliveryMs }: Settings) =>
  service("shipping", {
    sends: [DeliverParcel],
    publishes: [OrderShipped, OrderDelivered],
    appends: [SensorReadings],
  })
    .handle(ShipOrder, async ({ orderId, region }, context) => {
      const packedAt = parcels.pack(orderId, region, context.now());
      await context.publish(OrderShipped, { orderId });
      await context.send(
        DeliverParcel,
        { orderId },
        { at: new Date(packedAt.getTime() + deliveryMs) },
      );
    })
    .handle(DeliverParcel, async ({ orderId }, context) => {
      await context.publish(OrderDelivered, { orderId });
    })
    .answer(CountParcels, () => ({ parcels: parcels.count() }));
