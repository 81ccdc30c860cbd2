import { WaybillError } from "../errors.ts";
import type { IncomingStep } from "../handling/pipeline.ts";

/** What nobody wants any more is not handled: it becomes a dead letter, so that its loss is seen. Error: EXPIRED. */
export const expire: IncomingStep = {
  name: "expire",
  wrap: (next, _route, { environment }) => {
    return (message) => {
      const { expirytime, type } = message.envelope.header;
      if (
        expirytime !== undefined &&
        Date.parse(expirytime) <= environment.clock.now() &&
        message.delivery?.expiryLifted !== true
      ) {
        return Promise.reject(
          new WaybillError(
            "EXPIRED",
            `"${type}" was of use until ${expirytime} and is handled too late. Replay it if it still matters.`,
          ),
        );
      }
      return next(message);
    };
  },
};
