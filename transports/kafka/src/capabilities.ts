import type { Capabilities } from "@waybill/core";
import type { Settings } from "./options.ts";
import { reservedBytes } from "./message.ts";

const dayMs = 24 * 60 * 60 * 1_000;
/** What waits longer is passed on from step to step, so that this is a choice and no limit of Kafka. */
export const delayMsMax: number = 365 * dayMs;

export function capabilitiesOf({ replicas = 1, messageBytesMax }: Settings): Capabilities {
  return {
    // A broker answers before its disk has kept what it wrote; what every copy in sync has outlives one of them.
    durability: replicas > 1 ? "replicated" : "process-crash",
    order: "key",
    delayMsMax,
    delayStepMs: 1,
    lock: "connection",
    sessions: false,
    keyOrder: "partitions",
    sessionStateBytesMax: 0,
    dedupWindowMs: 0,
    bodyBytesMax: messageBytesMax - reservedBytes,
    filters: [],
    ruleActions: false,
    deadLetters: "transport",
    atomicSettle: false,
    atomicBatch: false,
    attemptsPersisted: true,
    attemptsInPlace: false,
    releaseCounts: false,
    owners: false,
    verifies: "everything",
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
