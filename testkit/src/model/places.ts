import type { Source, StreamSpec, Topology } from "@waybill/core";
import { topology } from "../suite/messages.ts";
import { subscriptions, topicName } from "./topics.ts";

export const plainQueue = "q1";
/** Remembers what it was sent. */
export const dedupQueue = "q2";
export const dedupWindowMs = 4_000;
/** Keeps sessions. */
export const sessionQueue = "q3";
/** Forwards what arrives, and its dead letters, wherever a command says. */
export const forwardingQueue = "q4";
export const queues: readonly string[] = [plainQueue, dedupQueue, sessionQueue, forwardingQueue];
export const streamName = "s";
/** Keeps its items for a while only. */
export const shortStream = "r";
export const shortGroup: Source = { kind: "stream", name: shortStream, group: "g1" };
export const streams: readonly StreamSpec[] = [
  { name: streamName, partitions: 2, retention: {} },
  { name: shortStream, partitions: 1, retention: { ageMs: 4_000, bytes: 24 } },
];

export const sources: readonly Source[] = [
  ...queues.map((name) => ({ kind: "queue", name }) as const),
  { kind: "subscription", topic: topicName, name: "s1" },
  { kind: "subscription", topic: topicName, name: "s2" },
  { kind: "stream", name: streamName, group: "g1" },
  { kind: "stream", name: streamName, group: "g2" },
  shortGroup,
];

/** What a receiver draws from: sessions twice, for more can happen there. */
export const receivable: readonly Source[] = [...sources, { kind: "queue", name: sessionQueue }];

/** What is paused for all: where messages go on from three times, for it matters there to who sends, too. */
export const pausable: readonly Source[] = [
  ...sources,
  ...[1, 2].map(() => ({ kind: "queue", name: forwardingQueue }) as const),
];

/** Everything that the model's messages go to. */
export const places: Topology = topology({
  queues: [
    { name: plainQueue },
    { name: dedupQueue, dedupWindowMs },
    { name: sessionQueue, sessions: true },
    { name: forwardingQueue },
  ],
  topics: [{ name: topicName }],
  subscriptions: subscriptions(0),
  streams,
});
