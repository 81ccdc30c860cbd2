import { WaybillError } from "../errors.ts";
import type { ScheduleKey } from "../ports/schedule-rows.ts";

export function missing({ service, name }: ScheduleKey): WaybillError {
  return new WaybillError(
    "NOT_FOUND",
    `No store of this bus has a schedule "${name}" of the service "${service}".`,
  );
}
