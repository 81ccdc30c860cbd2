import type { ErrorCode } from "../errors.ts";
import type { Incoming } from "../handling/message.ts";
import type { Outcome } from "../handling/outcome.ts";
import type { IncomingStep } from "../handling/pipeline.ts";
import { runAgainInBatch } from "../batch/member.ts";
import { judge, mayRetry } from "../handling/taxonomy.ts";
import { isThenable } from "../thenable.ts";

/** A run that was given up may still be at work; a saga that is not there yet is not there a moment later. */
function isForLater(reason: ErrorCode): boolean {
  return reason === "HANDLER_TIMED_OUT" || reason.startsWith("SAGA_");
}

/**
 * The immediate level: the handler runs again at once, inside the same lock. What the failed run sent is forgotten,
 * and the body is decoded anew, so that what it did to its input is forgotten too.
 */
export const retryImmediately: IncomingStep = {
  name: "retry",
  wrap: (next, { policy, contract, batch }, { counters }) => {
    if (batch !== undefined) return runAgainInBatch(next);
    if (policy.immediate === 0) return next;
    const counted = counters.of(contract.name);
    const run = (message: Incoming, left: number): Outcome | Promise<Outcome> => {
      try {
        const outcome = next(message);
        if (!isThenable(outcome)) return outcome;
        return Promise.resolve(outcome).catch((error: unknown) => again(message, left, error));
      } catch (error) {
        return again(message, left, error);
      }
    };
    const again = (message: Incoming, left: number, error: unknown): Outcome | Promise<Outcome> => {
      const { kind, reason } = judge(error);
      const isLater = kind === "throttled" || isForLater(reason);
      if (left === 0 || !mayRetry(kind) || isLater || message.lifetime.over) throw error;
      counted.failed += 1;
      message.held = [];
      if (message.state !== undefined) message.state = undefined;
      return run(message, left - 1);
    };
    return (message) => run(message, policy.immediate);
  },
};
