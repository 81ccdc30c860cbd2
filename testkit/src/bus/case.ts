import type { Capabilities } from "@waybill/core";
import type { BusStage } from "./stage.ts";

/** One thing that applications do on every broker. */
export interface BusCase {
  /** Stable: `skip` names it. */
  readonly id: string;
  /** A sentence that is true when the case passes. */
  readonly title: string;
  /** Why the case does not apply to a transport that cannot do this; undefined when it applies. */
  readonly notFor?: (capabilities: Capabilities) => string | undefined;
  readonly run: (stage: BusStage) => Promise<void>;
}

/** Retries that a case does not wait long for, and that every broker can delay by. */
export const quick = { immediate: 0, delayMs: 100, factor: 1, jitter: 0 } as const;
