import type { Capabilities } from "@waybill/core";

const dayMs = 24 * 60 * 60 * 1_000;

export function capabilitiesOf(bodyBytesMax: number, replicas: number): Capabilities {
  return {
    // JetStream answers before it has asked the disk to keep what it wrote, which it does every two minutes unless it is told otherwise.
    durability: replicas > 1 ? "replicated" : "process-crash",
    order: "queue",
    delayMsMax: 365 * dayMs,
    delayStepMs: 1,
    lock: "lease",
    sessions: false,
    keyOrder: "none",
    sessionStateBytesMax: 0,
    dedupWindowMs: 0,
    bodyBytesMax,
    filters: [],
    ruleActions: false,
    deadLetters: "transport",
    atomicSettle: false,
    atomicBatch: false,
    attemptsPersisted: true,
    attemptsInPlace: true,
    releaseCounts: false,
    owners: false,
    verifies: "all but streams",
    streams: true,
    pause: false,
    conservation: "none",
    seek: true,
    forwardHopsMax: 0,
    lists: ["deferred", "dead"],
    purges: ["ready", "deferred", "dead"],
    follows: false,
    counts: ["deferred"],
  };
}
