import { query, stream } from "waybill";
import * as z from "zod";
import { Visitor } from "./basket.ts";
import { Sku } from "./catalog.ts";

export const PageView = z.object({ visitor: Visitor, sku: Sku, at: z.iso.datetime() });
export type PageView = z.infer<typeof PageView>;

/** One visitor's views stay in order. */
export const PageViews = stream("telemetry.page-views", {
  item: PageView,
  key: ({ visitor }) => visitor,
  partitions: 4,
});

export const SensorReading = z.object({
  device: z.string().max(40),
  celsius: z.number().min(-100).max(100),
  at: z.iso.datetime(),
});
export type SensorReading = z.infer<typeof SensorReading>;

/** One device's readings stay in order. */
export const SensorReadings = stream("telemetry.sensor-readings", {
  item: SensorReading,
  key: ({ device }) => device,
  partitions: 4,
});

export const GetTelemetry = query("telemetry.get-telemetry", {
  input: z.object({}),
  output: z.object({
    /** From the group "live": what this process has seen since it started. */
    live: z.object({
      views: z.int(),
      vans: z.array(SensorReading),
    }),
    /** From the group "history": everything there ever was. */
    history: z.object({
      views: z.int(),
      readings: z.int(),
      mostViewed: z.array(z.object({ sku: Sku, views: z.int() })),
    }),
  }),
});
