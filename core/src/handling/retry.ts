import { WaybillError } from "../errors.ts";

/**
 * Two levels. Immediate: the handler runs again at once, inside the same lock, for the glitch that is over in a
 * millisecond. Delayed: the message goes back to the broker and comes again after an exponential pause.
 */
export interface RetryPolicy {
  /** Extra runs at once within one delivery, 0 to 10. Default 1. */
  readonly immediate?: number;
  /** Deliveries in all, crashes of the process included, before the message becomes a dead letter, 1 to 1,000. Default 6. */
  readonly attempts?: number;
  /** Pause before the second delivery, in milliseconds. Default 500. */
  readonly delayMs?: number;
  /** Each further pause is this many times longer, 1 to 10. Default 4. */
  readonly factor?: number;
  /** Longest pause, in milliseconds. Default 300,000. */
  readonly delayMsMax?: number;
  /** Share of the pause that is drawn at random, 0 to 1, so that failures of one moment do not come back in one moment. Default 0.2. */
  readonly jitter?: number;
}

export const retryDefault: Required<RetryPolicy> = {
  immediate: 1,
  attempts: 6,
  delayMs: 500,
  factor: 4,
  delayMsMax: 300_000,
  jitter: 0.2,
};

const bounds: Readonly<Record<keyof RetryPolicy, readonly [number, number]>> = {
  immediate: [0, 10],
  attempts: [1, 1_000],
  delayMs: [0, 86_400_000],
  factor: [1, 10],
  delayMsMax: [0, 7 * 86_400_000],
  jitter: [0, 1],
};

/** Later policies win, field by field. Throws OPTION_INVALID naming the field and its bounds. */
export function retryPolicy(
  ...policies: readonly (RetryPolicy | undefined)[]
): Required<RetryPolicy> {
  const merged: Required<RetryPolicy> = Object.assign({}, retryDefault, ...policies);
  for (const [field, [least, most]] of Object.entries(bounds)) {
    const value = merged[field as keyof RetryPolicy];
    if (typeof value === "number" && value >= least && value <= most) continue;
    throw new WaybillError(
      "OPTION_INVALID",
      `retry.${field} is ${String(value)}; give a number from ${least} to ${most}.`,
    );
  }
  return merged;
}

/** The pause before delivery `attempt + 1`, in whole milliseconds. `random` in [0, 1). */
export function retryDelayMs(
  policy: Required<RetryPolicy>,
  attempt: number,
  random: number,
): number {
  const pause = Math.min(policy.delayMs * policy.factor ** (attempt - 1), policy.delayMsMax);
  return Math.round(pause * (1 - policy.jitter * random));
}
