import type { Outgoing } from "@waybill/core";
import { toQueue, toStream, toTopic } from "../suite/messages.ts";
import {
  dedupQueue,
  forwardingQueue,
  plainQueue,
  queues,
  sessionQueue,
  shortStream,
  streamName,
} from "./places.ts";
import type { Run } from "./run.ts";
import { topicName } from "./topics.ts";
import type { Sent } from "./sent.ts";

/** Three numbers that a command reads what it needs from; small ones mean the plain case. */
export type Choice = readonly [number, number, number];
/** Does one thing to the broker and to the model; answers what it did, or undefined when there was nothing to do it to. */
export type Command = (run: Run, choice: Choice) => Promise<string | undefined>;

/** One queue by its name. */
export interface Queue {
  readonly queue: string;
}

const types = ["a", "b", "c"];
const regions = ["EU", "US"];
/** A message in the form of the model, and in the transport's. */
export function compose(
  run: Run,
  to: Sent["kind"] | Queue,
  [which, how, what]: Choice,
): [Sent, Outgoing] {
  const { now } = run.moment;
  const id = run.id();
  const type = types[what % types.length] ?? "a";
  const attributes = { region: regions[what % 2] ?? "EU", n: what % 9 };
  const kind = typeof to === "string" ? to : "queue";
  const queue = [...queues, sessionQueue][which % (queues.length + 1)] ?? plainQueue;
  const stream = what % 3 === 2 ? shortStream : streamName;
  const names = { queue, topic: topicName, stream };
  const name = typeof to === "string" ? names[to] : to.queue;
  const timing = kind === "stream" ? {} : timings(name, now)[how % 8];
  const key = keyAt(name, which);
  const dedupid = name === dedupQueue && how % 4 > 0 ? `d${how % 2}` : undefined;
  const marks = { ...timing, ...(dedupid !== undefined && { dedupid }) };
  const sent: Sent = { id, kind, sentAt: now, name, type, attributes, key, ...marks };
  if (kind === "stream") return [sent, toStream(name, id, key ?? "")];
  const make = kind === "queue" ? toQueue : toTopic;
  const header = {
    type,
    attributes,
    ...(key !== undefined && { partitionkey: key }),
    ...(dedupid !== undefined && { dedupid }),
  };
  return [sent, make(name, id, { ...timing, header })];
}

/** Few, so that several messages have the same; in the queue with sessions a few have none. */
function keyAt(name: string, which: number): string | undefined {
  if (name === streamName || name === shortStream) return `k${which % 4}`;
  if ((name !== sessionQueue && name !== forwardingQueue) || which % 9 > 6) return undefined;
  return `k${which % 2}`;
}

/** In a session the place of what is due later is not known beforehand. */
function timings(
  name: string,
  now: number,
): Readonly<Record<number, Pick<Sent, "notBefore" | "notAfter" | "discardExpired">>> {
  const expiring = {
    5: { notAfter: now + 1_200 },
    6: { notAfter: now + 1_200, discardExpired: true },
  };
  if (name === sessionQueue) return expiring;
  return {
    ...expiring,
    4: { notBefore: now + 900 },
    7: { notBefore: now + 900, notAfter: now + 2_500 },
  };
}

export function pick<Value>(from: readonly Value[], choice: number): Value | undefined {
  return from[choice % Math.max(1, from.length)];
}
