import type { IncomingStep, OutgoingStep } from "../handling/pipeline.ts";
import type { Speech } from "../speaking/speech.ts";
import type { CircuitBreaker } from "../flow/circuit-breaker.ts";
import { breaking } from "./break.ts";
import { decode } from "./decode.ts";
import { dispatch } from "./dispatch.ts";
import { exhaust } from "./exhaust.ts";
import { expire } from "./expire.ts";
import { open } from "./open.ts";
import { describe, encode } from "./outgoing.ts";
import { retryImmediately } from "./retry.ts";
import { settle } from "./settle.ts";
import { traceIncoming, traceOutgoing } from "./trace.ts";
import { validate, validateOutgoing } from "./validate.ts";

/** What happens to a command, an event or a stream's item on its way in, outermost first. */
export function messageSteps(
  speech: Speech,
  breakers: ReadonlyMap<string, CircuitBreaker>,
): readonly IncomingStep[] {
  return [
    settle,
    traceIncoming,
    expire,
    exhaust,
    open,
    breaking(breakers),
    retryImmediately,
    decode,
    validate,
    dispatch(speech),
  ];
}

/** What happens to a query or a feed on its way in. Somebody waits, so nothing is retried and there is nothing to settle. */
export function callSteps(speech: Speech): readonly IncomingStep[] {
  return [traceIncoming, decode, validate, dispatch(speech)];
}

/** What happens to every message on its way out. */
export const outgoingSteps: readonly OutgoingStep[] = [
  validateOutgoing,
  describe,
  encode,
  traceOutgoing,
];
