import type { CircuitPolicy } from "../flow/circuit-options.ts";
import type { Rate } from "./explanation.ts";
import { duration } from "./duration.ts";

export function rateInWords({ perSecond, burst, perKey }: Rate): string {
  const many = Number(perSecond.toPrecision(6));
  const at = perSecond < 1 ? `one in ${duration(1_000 / perSecond)}` : `${many} a second`;
  const most = burst === 1 ? "evenly spread" : `${burst} of them at once`;
  return `at most ${at} in each process${perKey ? " for each key" : ""}, ${most}`;
}

export function circuitInWords(policy: CircuitPolicy): string {
  const { consecutiveFailures, failureRatio, minimumThroughput, samplingMs, breakMs } = policy;
  const when =
    consecutiveFailures === undefined
      ? `when ${Math.round(failureRatio * 100)} % of at least ${minimumThroughput} runs in ${duration(samplingMs)} fail`
      : `after ${consecutiveFailures} failures in a row`;
  return `opens ${when}; a probe after ${duration(breakMs)}, then after up to ${duration(policy.breakMsMax)}`;
}
