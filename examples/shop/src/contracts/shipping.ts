import { command, event, query } from "waybill";
import * as z from "zod";
import { OrderId, Region } from "./ordering.ts";

export const ShipOrder = command("shipping.ship-order", {
  input: z.object({ orderId: OrderId, region: Region }),
});

/** Shipping to itself, with the journey as the delay. */
export const DeliverParcel = command("shipping.deliver-parcel", {
  input: z.object({ orderId: OrderId }),
});

export const OrderShipped = event("shipping.order-shipped", {
  payload: z.object({ orderId: OrderId }),
});

export const OrderDelivered = event("shipping.order-delivered", {
  payload: z.object({ orderId: OrderId }),
});

export const CountParcels = query("shipping.count-parcels", {
  input: z.object({}),
  output: z.object({ parcels: z.int() }),
});
