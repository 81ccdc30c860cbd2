import type { Declared } from "./decision.ts";
import type { ScheduleDefinition } from "./definition.ts";
import { momentsOf, timingText } from "./timing.ts";

/** A schedule that a connected service declares. */
export interface DeclaredSchedule {
  readonly service: string;
  readonly definition: ScheduleDefinition;
}

/** What this process knows of one schedule. */
export interface Line {
  readonly declared: Declared;
  readonly definition: ScheduleDefinition;
  /** It has not been looked at since this process came. */
  isNew: boolean;
  /** When it is due, as far as this process fires it. */
  nextAt: number | undefined;
  failures: number;
  /** On the monotonic clock: not tried again before. */
  restsUntil: number;
  trouble: string | undefined;
}

export function toLine({ service, definition }: DeclaredSchedule): Line {
  const { name, contract, timing, rule } = definition;
  return {
    definition,
    declared: {
      service,
      name,
      contract: contract.name,
      timing: timingText(timing),
      moments: momentsOf(timing),
      rule,
    },
    isNew: true,
    nextAt: undefined,
    failures: 0,
    restsUntil: 0,
    trouble: undefined,
  };
}
