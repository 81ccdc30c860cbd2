import type { IncomingStep } from "../handling/pipeline.ts";
import { RaceLost } from "../sagas/refusal.ts";

/** Who runs with the saga or the stream to itself loses to a start that is rolled back at most, so that more is never needed. */
const runsMax = 10;

/**
 * A message whose saga or stream was changed meanwhile runs again at once, from its body on and with that locked. It has not failed, so nothing counts it.
 */
export const race: IncomingStep = {
  name: "race",
  wrap: (next, { binding }) => {
    if (binding.saga === undefined && binding.decider === undefined) return next;
    return async (message) => {
      for (let runs = 1; ; runs++) {
        try {
          return await next(message);
        } catch (error) {
          if (!(error instanceof RaceLost) || runs === runsMax || message.lifetime.over)
            throw error;
          message.held = [];
          message.raced = true;
        }
      }
    };
  },
};
