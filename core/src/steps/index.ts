import type { IncomingStep, OutgoingStep } from "../handling/pipeline.ts";
import type { Speech } from "../speaking/speech.ts";
import type { CircuitBreaker } from "../flow/circuit-breaker.ts";
import type { Delays } from "../schedules/delays.ts";
import type { Stores } from "../stores/stores.ts";
import type { OpenViews } from "../views/open-views.ts";
import { breaking } from "./break.ts";
import { decide } from "./decide.ts";
import { decode } from "./decode.ts";
import { dispatch } from "./dispatch.ts";
import { exhaust } from "./exhaust.ts";
import { expire } from "./expire.ts";
import { open } from "./open.ts";
import { describe, encode } from "./outgoing.ts";
import { race } from "./race.ts";
import { retryImmediately } from "./retry.ts";
import { saga } from "./saga.ts";
import { settle } from "./settle.ts";
import { traceIncoming, traceOutgoing } from "./trace.ts";
import { transact } from "./transact.ts";
import { validate, validateOutgoing } from "./validate.ts";
import { view } from "./view.ts";

/** What happens to a command, an event or a stream's item on its way in, outermost first. */
export function messageSteps(
  speech: Speech,
  breakers: ReadonlyMap<string, CircuitBreaker>,
  {
    stores,
    views,
    delays,
  }: { readonly stores: Stores; readonly views: OpenViews; readonly delays: Delays },
): readonly IncomingStep[] {
  return [
    settle,
    traceIncoming,
    expire,
    exhaust,
    open,
    breaking(breakers),
    retryImmediately,
    race,
    decode,
    validate,
    transact({ stores, bell: views.bell, delays }),
    saga,
    view,
    decide(speech),
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
