import { HandlerContext } from "../handler-context.ts";
import type { Speech } from "../speech.ts";
import { complete, toOutcome } from "../outcome.ts";
import type { IncomingStep } from "../pipeline.ts";

/** The innermost step: runs the handler. What it sends is held in the message until all outer steps agree that it succeeded. */
export function dispatch(speech: Speech): IncomingStep {
  return {
    name: "dispatch",
    wrap: (_next, { binding }, runtime) => {
      const { handler, verb } = binding;
      const calls = verb === "answer" || verb === "serve";
      return async (message) => {
        const context = new HandlerContext(message, speech, runtime);
        message.context = context;
        try {
          const result = await handler(message.value, context);
          const held = context.held();
          if (held !== undefined) await held;
          if (!calls) return toOutcome(result);
          message.output = result;
          return complete();
        } finally {
          if (verb !== "serve") context.close();
        }
      };
    },
  };
}
