import type { IncomingStep } from "../pipeline.ts";
import { judge, mayRetry } from "../taxonomy.ts";

/**
 * The immediate level: the handler runs again at once, inside the same lock. What the failed run sent is forgotten,
 * and the body is decoded anew, so that what it did to its input is forgotten too.
 */
export const retryImmediately: IncomingStep = {
  name: "retry",
  wrap: (next, { policy, contract }, { counters }) => {
    if (policy.immediate === 0) return next;
    const counted = counters.of(contract.name);
    return async (message) => {
      for (let left = policy.immediate; ; left--) {
        try {
          return await next(message);
        } catch (error) {
          const { kind } = judge(error);
          if (left === 0 || !mayRetry(kind) || kind === "throttled" || message.lifetime.over)
            throw error;
          counted.failed += 1;
          message.held = [];
        }
      }
    };
  },
};
