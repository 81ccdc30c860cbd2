import type { Capabilities } from "@waybill/core";
import type { FailureStage } from "./stage.ts";

/** One row of the failure table: what goes wrong, and what then happens. */
export interface FailureCase {
  /** Stable: the published table names it. */
  readonly id: string;
  readonly what: string;
  readonly then: string;
  /** Why the case does not apply to a transport that cannot do this; undefined when it applies. */
  readonly notFor?: (capabilities: Capabilities) => string | undefined;
  readonly run: (stage: FailureStage) => Promise<void>;
}

/** Quick retries, so that a case does not wait. */
export const quick = { immediate: 0, delayMs: 5, factor: 1, jitter: 0 } as const;
/** For cases in which a lock runs out: short, and long enough that who is well renews it on a machine that is busy. */
export const lockMs = 2_000;
