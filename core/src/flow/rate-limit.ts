import { shown } from "../wiring/faults.ts";

/**
 * How many messages a handler takes per time, in this process: with N processes the whole service takes N times that. Give the rate
 * as `perSecond`, or as `count` in `perMs`.
 */
export interface RateLimit<Value = unknown> {
  /** 0.001 to 100,000. */
  readonly perSecond?: number;
  /** With `perMs`: a whole number from 1 to 1,000,000. */
  readonly count?: number;
  /** 1 to 86,400,000. */
  readonly perMs?: number;
  /** How many may begin at once after a pause, 1 to 100,000. Default 1: evenly spread. */
  readonly burst?: number;
  /** Messages of each key have the rate for themselves, and do not wait for those of others. Absent: one rate for the handler. */
  readonly key?: (value: Value) => string;
}

/** Keys whose last use still counts. Above that the one used longest ago is forgotten, and may then go over its rate by one burst. */
export const rateKeysMax = 10_000;
/** How long a message of a key waits here, locked, before it goes back until its turn; what waits longer would keep others out. */
export const rateWaitMsMax = 5_000;

/** Milliseconds from one message to the next. */
export function intervalMs({ perSecond, count = 1, perMs = 1_000 }: RateLimit): number {
  return perSecond === undefined ? perMs / count : 1_000 / perSecond;
}

const bounds = {
  perSecond: [0.001, 100_000],
  count: [1, 1_000_000],
  perMs: [1, 86_400_000],
  burst: [1, 100_000],
} as const;

/** What is wrong with it, each a part of a sentence. */
export function rateLimitFaults(limit: RateLimit): readonly string[] {
  if (typeof limit !== "object" || limit === null)
    return ["rateLimit is no object; give { perSecond } or { count, perMs }"];
  const faults: string[] = [];
  for (const [field, [least, most]] of Object.entries(bounds)) {
    const value: unknown = limit[field as keyof typeof bounds];
    const isWhole = field === "perSecond" || Number.isInteger(value);
    if (
      value === undefined ||
      (typeof value === "number" && isWhole && value >= least && value <= most)
    )
      continue;
    const what = field === "perSecond" ? "a number" : "a whole number";
    faults.push(`rateLimit.${field} is ${shown(value)}; give ${what} from ${least} to ${most}`);
  }
  const pair = [limit.count, limit.perMs].filter((each) => each !== undefined).length;
  if (pair === 1 || (limit.perSecond === undefined) === (pair === 0))
    faults.push("rateLimit takes either perSecond, or count and perMs");
  if (limit.key !== undefined && typeof limit.key !== "function")
    faults.push("rateLimit.key is no function; give (value) => value.tenant, for instance");
  return faults;
}
