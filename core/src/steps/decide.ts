import { Decision, keyOfCommand, rejectionError } from "../deciders/decision.ts";
import { loadStream } from "../deciders/folding.ts";
import { record } from "../deciders/recording.ts";
import type { Incoming } from "../handling/message.ts";
import { complete } from "../handling/outcome.ts";
import type { IncomingStep } from "../handling/pipeline.ts";
import type { EventRows } from "../ports/event-rows.ts";
import type { Speech } from "../speaking/speech.ts";

/**
 * Loads the stream that a command is for, lets it be decided, and appends what happened, all in the transaction of the command; what is published
 * of it is held, and written into the outbox there. An append finds the version that was loaded, or nothing of the run stays. Nothing where a
 * service is no decider.
 */
export function decide(speech: Speech): IncomingStep {
  return {
    name: "decide",
    wrap: (next, { binding, contract, service }, { environment, counters, logger }) => {
      if (binding.decider === undefined) return next;
      const { definition, command } = binding.decider;
      const counted = counters.of(contract.name);
      return async (message: Incoming) => {
        const rows = message.events as EventRows;
        const key = keyOfCommand(definition, command, message.value);
        const lock = message.raced === true;
        const standing = await loadStream(rows, { definition, key }, { lock, logger });
        const decision = new Decision({ definition, command, standing });
        message.decision = decision;
        const outcome = await next(message);
        if (outcome.outcome !== "complete") return outcome;
        const { rejection } = decision;
        if (rejection !== undefined) {
          const error = rejectionError(definition, rejection, { type: contract.name, key });
          if (definition.rejected !== "ignore") throw error;
          counted.ignored += 1;
          logger.info(`${error.message} It is completed, by the rule rejected: "ignore".`);
          return complete();
        }
        const { envelope: parent } = message;
        const { outgoing, stream } = await record(decision, standing, {
          definition,
          rows,
          environment,
          logger,
          command: parent,
          prepare: (event, payload, { id, ...recorded }) =>
            speech.prepare(event, payload, { service, parent, options: { id }, recorded }),
        });
        message.held.push(...outgoing);
        message.stream = stream;
        return outcome;
      };
    },
  };
}
