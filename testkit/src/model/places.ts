import type { Source, Topology } from "@waybill/core";
import { topology } from "../suite/messages.ts";
import { subscriptions, topicName } from "./topics.ts";

export const plainQueue = "q1";
/** Remembers what it was sent. */
export const dedupQueue = "q2";
export const dedupWindowMs = 4_000;
/** Keeps sessions. */
export const sessionQueue = "q3";
export const queues: readonly string[] = [plainQueue, dedupQueue, sessionQueue];
export const streamName = "s";

export const sources: readonly Source[] = [
  ...queues.map((name) => ({ kind: "queue", name }) as const),
  { kind: "subscription", topic: topicName, name: "s1" },
  { kind: "subscription", topic: topicName, name: "s2" },
  { kind: "stream", name: streamName, group: "g1" },
  { kind: "stream", name: streamName, group: "g2" },
];

/** What a receiver draws from: sessions twice, for more can happen there. */
export const receivable: readonly Source[] = [...sources, { kind: "queue", name: sessionQueue }];

/** Everything that the model's messages go to. */
export const places: Topology = topology({
  queues: [
    { name: plainQueue },
    { name: dedupQueue, dedupWindowMs },
    { name: sessionQueue, sessions: true },
  ],
  topics: [{ name: topicName }],
  subscriptions: subscriptions(0),
  streams: [{ name: streamName, partitions: 2, retention: {} }],
});
