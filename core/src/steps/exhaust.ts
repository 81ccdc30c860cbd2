import { WaybillError } from "../errors.ts";
import type { IncomingStep } from "../handling/pipeline.ts";

/**
 * The broker counts a delivery before the handler runs. So a delivery above the limit means that the last one was
 * never settled: the process died with it, or stalled longer than its lock. Error: HANDLER_CRASHED.
 */
export const exhaust: IncomingStep = {
  name: "exhaust",
  wrap: (next, { policy, handlerName }) => {
    return (message) => {
      if (message.attempt <= policy.attempts) return next(message);
      const last =
        message.failure === undefined ? "" : ` The last error it left: ${message.failure.message}`;
      return Promise.reject(
        new WaybillError(
          "HANDLER_CRASHED",
          `${handlerName} was given this message ${policy.attempts} times and did not settle it the last time: the process ended or stalled longer than its lock.${last}`,
        ),
      );
    };
  },
};
