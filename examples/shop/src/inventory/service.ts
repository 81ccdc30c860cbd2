import { service } from "waybill";
import {
  ListStock,
  ReleaseStock,
  ReserveStock,
  StockRejected,
  StockReserved,
} from "../contracts/inventory.ts";
import type { Warehouse } from "./data.ts";

/** Keeps the stock. Runs as two processes on one database, which compete for the same commands. */
export const inventory = (warehouse: Warehouse) =>
  service("inventory", { publishes: [StockReserved, StockRejected] })
    .handle(ReserveStock, async ({ orderId, lines }, context) => {
      const { state, reason } = warehouse.reserve(orderId, lines);
      if (state === "held") await context.publish(StockReserved, { orderId });
      if (state === "refused")
        await context.publish(StockRejected, { orderId, reason: reason ?? "" });
    })
    .handle(ReleaseStock, ({ orderId }) => warehouse.release(orderId))
    .answer(ListStock, () => warehouse.list());
