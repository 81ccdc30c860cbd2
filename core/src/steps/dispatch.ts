import { joinBatch } from "../batch/member.ts";
import { HandlerContext } from "../handling/handler-context.ts";
import type { Incoming } from "../handling/message.ts";
import { type Outcome, complete, toOutcome } from "../handling/outcome.ts";
import type { IncomingStep } from "../handling/pipeline.ts";
import type { Speech } from "../speaking/speech.ts";
import { SessionContext } from "../handling/session-context.ts";
import { isThenable } from "../thenable.ts";
import { timeLimit } from "../handling/time-limit.ts";

/** The innermost step: runs the handler. What it sends is held in the message until all outer steps agree that it succeeded. */
export function dispatch(speech: Speech): IncomingStep {
  return {
    name: "dispatch",
    wrap: (_next, route, runtime) => {
      const { binding, batch, options } = route;
      if (batch !== undefined) return joinBatch(speech, runtime);
      const { handler, verb } = binding;
      const limit = timeLimit(route, runtime);
      const ContextClass = options.state === undefined ? HandlerContext : SessionContext;
      const calls = verb === "answer" || verb === "serve";
      const end = (message: Incoming, result: unknown): Outcome => {
        if (!calls) return toOutcome(result);
        message.output = result;
        return complete();
      };
      const endLater = async (
        message: Incoming,
        context: HandlerContext,
        result: unknown,
      ): Promise<Outcome> => {
        try {
          const value = await (limit === undefined || !isThenable(result)
            ? result
            : limit(result, [context], message.envelope));
          const held = context.held();
          if (held !== undefined) await held;
          return end(message, value);
        } finally {
          if (verb !== "serve") context.close();
        }
      };
      return (message) => {
        const context = new ContextClass(message, speech, runtime);
        message.context = context;
        let isLater = false;
        try {
          const result: unknown = handler(message.value, context);
          const pending = isThenable(result) ? result : context.held()?.then(() => result);
          isLater = pending !== undefined;
          return isLater ? endLater(message, context, pending) : end(message, result);
        } finally {
          if (!isLater && verb !== "serve") context.close();
        }
      };
    },
  };
}
