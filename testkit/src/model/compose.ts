import type { Outgoing } from "@waybill/core";
import { toQueue, toStream, toTopic } from "../suite/messages.ts";
import { type Run, queues, streamName } from "./run.ts";
import { topicName } from "./topics.ts";
import type { Sent } from "./world.ts";

/** Three numbers that a command reads what it needs from; small ones mean the plain case. */
export type Choice = readonly [number, number, number];
/** Does one thing to the broker and to the model; answers what it did, or undefined when there was nothing to do it to. */
export type Command = (run: Run, choice: Choice) => Promise<string | undefined>;

const types = ["a", "b", "c"];
const regions = ["EU", "US"];
/** A message in the form of the model, and in the transport's. */
export function compose(
  run: Run,
  kind: Sent["kind"],
  [which, how, what]: Choice,
): [Sent, Outgoing] {
  const { now } = run.moment;
  const id = run.id();
  const timing = kind === "stream" ? {} : timings(now)[how % 8];
  const type = types[what % types.length] ?? "a";
  const attributes = { region: regions[what % 2] ?? "EU", n: what % 9 };
  const name = { queue: queues[which % 2] ?? "q1", topic: topicName, stream: streamName }[kind];
  const key = `k${which % 4}`;
  const sent: Sent = {
    id,
    kind,
    name,
    type,
    attributes,
    ...timing,
    ...(kind === "stream" && { key }),
  };
  if (kind === "stream") return [sent, toStream(name, id, key)];
  const to = kind === "queue" ? toQueue : toTopic;
  return [sent, to(name, id, { ...timing, header: { type, attributes } })];
}

function timings(
  now: number,
): Readonly<Record<number, Pick<Sent, "notBefore" | "notAfter" | "discardExpired">>> {
  return {
    4: { notBefore: now + 900 },
    5: { notAfter: now + 1_200 },
    6: { notAfter: now + 1_200, discardExpired: true },
    7: { notBefore: now + 900, notAfter: now + 2_500 },
  };
}

export function pick<Value>(from: readonly Value[], choice: number): Value | undefined {
  return from[choice % Math.max(1, from.length)];
}
