import { event } from "waybill";
import { Order } from "../workload.ts";

/** What the first service publishes for each command, and the second one handles. */
export const OrderPlaced = event("bench.order-placed", { payload: Order });
