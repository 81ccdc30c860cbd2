import type { Capabilities } from "@waybill/core";
import { delayMsMax, delayStepMs } from "./delays.ts";
import type { Settings } from "./options.ts";

/** What the server turned out to have. */
export interface Found {
  readonly streams: boolean;
}

export function capabilitiesOf({ bodyBytesMax }: Settings, { streams }: Found): Capabilities {
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
    // Without a log that all processes read, nobody could tell a release from a crash.
    releaseCounts: !streams,
    owners: false,
    streams,
    verifies: "all but streams",
    pause: false,
    conservation: "none",
    seek: streams,
    forwardHopsMax: 0,
    lists: ["deferred", "dead"],
    purges: ["ready", "deferred", "dead"],
    follows: false,
    counts: ["deferred", "receivers"],
  };
}
