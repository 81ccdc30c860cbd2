import type { Capabilities } from "@waybill/core";
import { delayMsMax, delayStepMs } from "./delays.ts";
import type { Settings } from "./options.ts";

export function capabilitiesOf({ bodyBytesMax }: Settings): Capabilities {
  return {
    // On a cluster of several nodes also what the loss of one of them takes; AMQP does not say how many there are.
    durability: "power-loss",
    order: "queue",
    delayMsMax,
    delayStepMs,
    lock: "connection",
    sessions: false,
    keyOrder: "single-consumer",
    sessionStateBytesMax: 0,
    dedupWindowMs: 0,
    bodyBytesMax,
    filters: [],
    ruleActions: false,
    deadLetters: "transport",
    atomicSettle: false,
    atomicBatch: false,
    attemptsPersisted: true,
    attemptsInPlace: false,
    releaseCounts: true,
    owners: false,
    streams: false,
    pause: false,
    conservation: "none",
    seek: false,
    forwardHopsMax: 0,
    lists: ["deferred", "dead"],
    purges: ["ready", "deferred", "dead"],
    follows: false,
    counts: ["deferred", "receivers"],
  };
}
