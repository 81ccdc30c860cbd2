import { type ErrorCode, WaybillError } from "../errors.ts";
import type { SagaDefinition, SagaRefusal } from "./definition.ts";

const codes: Readonly<Record<SagaRefusal, ErrorCode>> = {
  unknown: "SAGA_UNKNOWN",
  late: "SAGA_FINISHED",
  unexpected: "SAGA_UNEXPECTED",
};

/** Why a saga cannot take a message, for the reader of its dead letter. Its rule decides whether it is tried again. */
export function refusalError(
  { name, rules }: SagaDefinition,
  refusal: SagaRefusal,
  { id, type, phase }: { readonly id: string; readonly type: string; readonly phase: string },
): WaybillError {
  const texts: Readonly<Record<SagaRefusal, string>> = {
    unknown: `There is no saga "${name}" with the id "${id}" for "${type}": it has not been started, or has finished and is forgotten.`,
    late: `The saga "${name}" with the id "${id}" has finished in the phase "${phase}" and takes no "${type}" any more.`,
    unexpected: `The saga "${name}" with the id "${id}" stands in the phase "${phase}", which has no transition for "${type}".`,
  };
  return new WaybillError(codes[refusal], texts[refusal], {
    retryable: rules[refusal] === "retry",
    details: { saga: name, id, phase },
  });
}

/** Somebody else changed what a message works on between its load and its save. */
export class RaceLost extends WaybillError {
  constructor(code: ErrorCode, message: string, details: WaybillError["details"]) {
    super(code, message, { retryable: true, details });
  }
}

export function sagaRace(name: string, id: string): RaceLost {
  return new RaceLost(
    "SAGA_CONFLICT",
    `The saga "${name}" with the id "${id}" was changed by another message at the same time. It is tried again.`,
    { saga: name, id },
  );
}
