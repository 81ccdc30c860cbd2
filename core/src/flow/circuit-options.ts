import { shown } from "../wiring/faults.ts";

export type CircuitState = "closed" | "open" | "halfOpen";

/**
 * When a handler stops taking messages because what it needs is down, and when it tries again. Without `consecutiveFailures` it opens when
 * `failureRatio` of at least `minimumThroughput` runs in the last `samplingMs` failed. Of the failures those count that say nothing
 * about their message: retryable, throttled, ambiguous, unauthorised and unknown ones.
 */
export interface CircuitBreakerOptions {
  /** Above 0 to 1. Default 0.5. */
  readonly failureRatio?: number;
  /** Runs within `samplingMs` below which nothing is decided, 2 to 100,000. Default 10. */
  readonly minimumThroughput?: number;
  /** 1,000 to 3,600,000. Default 30,000. */
  readonly samplingMs?: number;
  /** Opens after so many failures in a row instead, 1 to 10,000, whatever their ratio. */
  readonly consecutiveFailures?: number;
  /** Pause before the first probe, 100 to 3,600,000 ms. Default 30,000. Longer when a throttled error says so. */
  readonly breakMs?: number;
  /** Each failed probe doubles the pause, up to this. Default 300,000, and never less than `breakMs`. */
  readonly breakMsMax?: number;
}

export type CircuitPolicy = Required<Omit<CircuitBreakerOptions, "consecutiveFailures">> &
  Pick<CircuitBreakerOptions, "consecutiveFailures">;

const circuitDefault = {
  failureRatio: 0.5,
  minimumThroughput: 10,
  samplingMs: 30_000,
  breakMs: 30_000,
  breakMsMax: 300_000,
};

const bounds: Readonly<Record<keyof CircuitBreakerOptions, readonly [number, number]>> = {
  failureRatio: [0.001, 1],
  minimumThroughput: [2, 100_000],
  samplingMs: [1_000, 3_600_000],
  consecutiveFailures: [1, 10_000],
  breakMs: [100, 3_600_000],
  breakMsMax: [100, 3_600_000],
};
const wholes: ReadonlySet<string> = new Set(["minimumThroughput", "consecutiveFailures"]);

export function circuitPolicy(options: CircuitBreakerOptions): CircuitPolicy {
  const policy = { ...circuitDefault, ...options };
  return { ...policy, breakMsMax: Math.max(policy.breakMs, policy.breakMsMax) };
}

/** What is wrong with it, each a part of a sentence. */
export function circuitFaults(options: CircuitBreakerOptions): readonly string[] {
  if (typeof options !== "object" || options === null)
    return ["circuitBreaker is no object; give {} for the defaults"];
  const faults: string[] = [];
  for (const [field, [least, most]] of Object.entries(bounds)) {
    const value: unknown = options[field as keyof CircuitBreakerOptions];
    if (value === undefined) continue;
    const fits = typeof value === "number" && value >= least && value <= most;
    if (fits && (!wholes.has(field) || Number.isInteger(value))) continue;
    const what = wholes.has(field) ? "a whole number" : "a number";
    faults.push(
      `circuitBreaker.${field} is ${shown(value)}; give ${what} from ${least} to ${most}`,
    );
  }
  const { consecutiveFailures, failureRatio, minimumThroughput, samplingMs } = options;
  const ratios = [failureRatio, minimumThroughput, samplingMs];
  if (consecutiveFailures !== undefined && ratios.some((each) => each !== undefined))
    faults.push(
      "circuitBreaker takes either consecutiveFailures, or failureRatio with minimumThroughput and samplingMs",
    );
  return faults;
}
