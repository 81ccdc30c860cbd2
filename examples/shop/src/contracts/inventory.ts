import { command, event, query } from "waybill";
import * as z from "zod";
import { Sku } from "./catalog.ts";
import { OrderId } from "./ordering.ts";

export const ReserveStock = command("inventory.reserve-stock", {
  input: z.object({
    orderId: OrderId,
    lines: z.array(z.object({ sku: Sku, quantity: z.int().min(1) })).min(1),
  }),
});

/** Takes a reservation back, and one that has not come yet in advance. */
export const ReleaseStock = command("inventory.release-stock", {
  input: z.object({ orderId: OrderId }),
});

export const StockReserved = event("inventory.stock-reserved", {
  payload: z.object({ orderId: OrderId }),
});

export const StockRejected = event("inventory.stock-rejected", {
  payload: z.object({ orderId: OrderId, reason: z.string() }),
});

export const Stock = z.object({ sku: Sku, free: z.int(), held: z.int() });
export type Stock = z.infer<typeof Stock>;

export const ListStock = query("inventory.list-stock", {
  input: z.object({}),
  output: z.array(Stock),
});
