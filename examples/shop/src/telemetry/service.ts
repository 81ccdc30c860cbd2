import { service } from "waybill";
import {
  GetTelemetry,
  PageViews,
  type SensorReading,
  SensorReadings,
} from "../contracts/telemetry.ts";
import type { History } from "./data.ts";

const live = { group: "live", start: "latest" } as const;
const archive = { group: "history" } as const;

/** Reads two streams, each with two groups at their own pace: one knows the present and forgets, one keeps everything. */
export const telemetry = (history: History) => {
  const vans = new Map<string, SensorReading>();
  let views = 0;

  return service("telemetry")
    .consume(PageViews, () => void (views += 1), live)
    .consume(PageViews, (view, { position }) => history.addView(position, view), archive)
    .consume(SensorReadings, (reading) => void vans.set(reading.device, reading), live)
    .consume(
      SensorReadings,
      (reading, { position }) => history.addReading(position, reading),
      archive,
    )
    .answer(GetTelemetry, () => ({
      live: {
        views,
        vans: [...vans.values()].toSorted((a, b) => a.device.localeCompare(b.device)),
      },
      history: history.summary(),
    }));
};
