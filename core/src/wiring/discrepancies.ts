import { isDeepStrictEqual } from "node:util";
import {
  type Discrepancy,
  type QueueSpec,
  type StreamSpec,
  type SubscriptionSpec,
  type TopicSpec,
  type Topology,
  addressOf,
} from "../ports/transport.ts";

/** What is declared on a broker, as far as it can be asked; undefined for what is not there. */
export interface KnownTopology {
  queue(name: string): Omit<QueueSpec, "owner"> | undefined;
  topic(name: string): TopicSpec | undefined;
  subscription(topic: string, name: string): SubscriptionSpec | undefined;
  stream(name: string): StreamSpec | undefined;
}

/** What is missing of a topology, or otherwise. What it leaves open may be as it is. */
export function discrepanciesOf(
  { queues, topics, subscriptions, streams }: Topology,
  known: KnownTopology,
): readonly Discrepancy[] {
  return [
    ...queues.flatMap(({ owner: _owner, ...spec }) =>
      compared(`queue "${spec.name}"`, spec.name, [spec, known.queue(spec.name)]),
    ),
    ...topics.flatMap((spec) =>
      compared(`topic "${spec.name}"`, `${spec.name}/`, [spec, known.topic(spec.name)]),
    ),
    ...subscriptions.flatMap((spec) => {
      const { topic, name } = spec;
      const address = addressOf({ kind: "subscription", topic, name });
      const found = known.subscription(topic, name);
      return compared(`subscription "${address}"`, address, [spec, found]);
    }),
    ...streams.flatMap((spec) => {
      const found = known.stream(spec.name);
      return compared(`stream "${spec.name}"`, spec.name, [whole(spec), found && whole(found)]);
    }),
  ];
}

/** Bounds that are not said are none, which is a difference too. */
function whole({ name, partitions, retention: { ageMs, bytes } }: StreamSpec): object {
  const ceiled = (bound: number | undefined): number | "none" =>
    bound === undefined ? "none" : Math.ceil(bound);
  return { name, partitions, ageMs: ceiled(ageMs), bytes: ceiled(bytes) };
}

function compared(
  what: string,
  address: string,
  [wanted, found]: readonly [object, object | undefined],
): readonly Discrepancy[] {
  if (found === undefined)
    return [{ address, fault: "missing", message: `The ${what} is missing. Create it.` }];
  const faults = Object.entries(wanted).flatMap(([setting, value]: [string, unknown]) => {
    const own: unknown = Reflect.get(found, setting);
    if (value === undefined || same(value, own ?? (value === false ? false : undefined))) return [];
    return [`${setting} is ${shown(own)} and must be ${shown(value)}`];
  });
  if (faults.length === 0) return [];
  return [
    { address, fault: "different", message: `Of the ${what}, ${faults.join(", ")}. Change it.` },
  ];
}

function same(one: unknown, other: unknown): boolean {
  // Through JSON, as brokers keep it: what is undefined is not there.
  const kept = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null));
  return isDeepStrictEqual(kept(one), kept(other));
}

function shown(value: unknown): string {
  return value === undefined ? "not set" : JSON.stringify(value);
}
