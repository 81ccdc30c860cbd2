import type { IncomingStep } from "../handling/pipeline.ts";
import { WiredDelivery } from "../wire/delivery.ts";

/**
 * What the wire could not open fails here, where the outcome is decided: a retryable failure (an object that is not there yet) is tried again
 * and comes again, all else is a dead letter. Nothing where the bus has no wire.
 */
export const open: IncomingStep = {
  name: "open",
  wrap: (next, _route, { wire }) => {
    if (wire === undefined) return next;
    return async (message) => {
      const { delivery } = message;
      if (!(delivery instanceof WiredDelivery) || delivery.refusal === undefined)
        return next(message);
      if (!delivery.refusal.retryable) throw delivery.refusal;
      await delivery.open();
      if (delivery.refusal !== undefined) throw delivery.refusal;
      message.envelope = delivery.envelope;
      return next(message);
    };
  },
};
