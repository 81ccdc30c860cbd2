import type { Health } from "../operating/health.ts";
import type { Scheduler } from "./scheduler.ts";

/** The same with the schedules that this process cannot fire. */
export function withSchedules(health: Health, schedulers: readonly Scheduler[]): Health {
  const troubles = schedulers.flatMap((scheduler) => scheduler.troubles);
  if (troubles.length === 0) return health;
  const status = health.status === "up" ? "degraded" : health.status;
  return { ...health, status, reasons: [...health.reasons, ...troubles] };
}
