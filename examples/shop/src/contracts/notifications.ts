import { query } from "waybill";
import * as z from "zod";
import { OrderId } from "./ordering.ts";

export const Notification = z.object({
  orderId: OrderId,
  audience: z.enum(["vip-desk", "eu-office"]),
  text: z.string(),
  at: z.iso.datetime(),
});
export type Notification = z.infer<typeof Notification>;

/** The latest, newest first. */
export const ListNotifications = query("notifications.list-notifications", {
  input: z.object({}),
  output: z.array(Notification),
});
