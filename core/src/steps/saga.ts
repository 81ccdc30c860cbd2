import { type Outcome, complete } from "../handling/outcome.ts";
import type { Incoming } from "../handling/message.ts";
import type { IncomingStep } from "../handling/pipeline.ts";
import type { SagaRow, SagaRows } from "../ports/saga-rows.ts";
import { refusalError, sagaRace } from "../sagas/refusal.ts";
import type { SagaRefusal } from "../sagas/definition.ts";
import { sagaIdOf, takeTurn } from "../sagas/turn.ts";

/**
 * Loads the saga that a message is for, lets its transition run, and saves what became of it, all in the transaction of the message. A save finds
 * the version that was loaded, or nothing of the run stays. Nothing where a service is no saga.
 */
export const saga: IncomingStep = {
  name: "saga",
  wrap: (next, { binding, contract }, { environment, counters, logger }) => {
    const { saga: own } = binding;
    if (own === undefined) return next;
    const { definition } = own;
    const counted = counters.of(contract.name);
    const refuse = (refusal: SagaRefusal, id: string, row: SagaRow | undefined): Outcome => {
      const error = refusalError(definition, refusal, {
        id,
        type: contract.name,
        phase: row?.phase ?? "",
      });
      if (definition.rules[refusal] !== "ignore") throw error;
      counted.ignored += 1;
      logger.info(`${error.message} It is completed, by the rule ${refusal}: "ignore".`);
      return complete();
    };
    return async (message: Incoming) => {
      const rows = message.sagas as SagaRows;
      const id = sagaIdOf(own, message.value);
      const lock = message.raced === true;
      const row = await rows.load({ saga: definition.name, id }, { lock });
      const turn = await takeTurn(own, row, { id, value: message.value });
      if (turn === "ended") {
        counted.ignored += 1;
        return complete();
      }
      if (typeof turn === "string") return refuse(turn, id, row);
      message.turn = turn;
      const outcome = await next(message);
      if (outcome.outcome !== "complete") return outcome;
      const after = await turn.end(environment.clock.now());
      const isSaved = await (row === undefined ? rows.insert(after) : rows.update(after));
      if (!isSaved) throw sagaRace(definition.name, id);
      return outcome;
    };
  },
};
