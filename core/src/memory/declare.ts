import { WaybillError, messageOf } from "../errors.ts";
import { compileAcceptances } from "../wiring/acceptances.ts";
import {
  type Dedup,
  type StreamSpec,
  type SubscriptionSpec,
  type Topology,
  addressOf,
} from "../ports/transport.ts";
import { checkForwarding } from "../wiring/forwarding.ts";
import type { Engine } from "./engine.ts";
import { Log } from "./log.ts";
import { Mailbox } from "./mailbox.ts";
import type { Remembered } from "./remembered.ts";
import { Topic } from "./topic.ts";

/** The one that declares: what is temporary ends with it. */
export interface Declarer {
  readonly temporaries: (() => void)[];
}

/** Checks all before it creates anything, so that a refused topology leaves no trace. */
export function declare(engine: Engine, topology: Topology, declarer: Declarer): void {
  engine.owners.check(topology.queues);
  for (const spec of [...topology.queues, ...topology.topics]) assertDedup(spec);
  for (const spec of topology.streams) assertStream(engine, spec);
  const topics = new Set([...engine.topics.keys(), ...topology.topics.map((topic) => topic.name)]);
  for (const spec of topology.subscriptions) assertSubscription(spec, topics);
  checkForwarding(topology, () => engine.settings());

  for (const spec of topology.queues) {
    if (!engine.queues.has(spec.name)) addQueue(engine, spec, declarer);
    remember(engine.queues.get(spec.name)?.remembered, spec);
    if (spec.sessions === true) engine.queues.get(spec.name)?.keepSessions();
    if (spec.owner !== undefined) engine.owners.claim(spec.name, spec.owner, declarer);
  }
  for (const spec of topology.topics) {
    const { name } = spec;
    if (!engine.topics.has(name)) engine.topics.set(name, new Topic(name, engine.kernel));
    remember(engine.topics.get(name)?.remembered, spec);
  }
  for (const spec of topology.subscriptions) addSubscription(engine, spec, declarer);
  for (const spec of topology.queues) engine.forwards.set(engine.queues.get(spec.name), spec);
  for (const spec of topology.subscriptions)
    engine.forwards.set(engine.topics.get(spec.topic)?.subscriptions.get(spec.name), spec);
  for (const spec of topology.streams) {
    const log = engine.streams.get(spec.name);
    if (log === undefined) engine.streams.set(spec.name, new Log(spec, engine.kernel));
    else log.retention = spec.retention;
  }
}

function remember(remembered: Remembered | undefined, { dedupWindowMs }: Dedup): void {
  if (remembered === undefined || dedupWindowMs === undefined) return;
  remembered.windowMs = dedupWindowMs;
  if (dedupWindowMs === 0) remembered.clear();
}

function addQueue(
  engine: Engine,
  spec: { name: string; temporary?: boolean },
  declarer: Declarer,
): void {
  const mailbox = new Mailbox("queue", spec.name, engine.kernel);
  engine.queues.set(spec.name, mailbox);
  mailbox.stock.settings.temporary = spec.temporary === true;
  if (spec.temporary !== true) return;
  declarer.temporaries.push(() => {
    engine.queues.delete(spec.name);
    mailbox.drop();
  });
}

function addSubscription(engine: Engine, spec: SubscriptionSpec, declarer: Declarer): void {
  const topic = engine.topics.get(spec.topic);
  if (topic === undefined) return;
  const known = topic.subscriptions.get(spec.name);
  const address = addressOf({ kind: "subscription", topic: spec.topic, name: spec.name });
  const mailbox = known ?? new Mailbox("subscription", address, engine.kernel);
  topic.subscribe(spec.name, mailbox, spec.accepts);
  if (spec.sessions === true) mailbox.keepSessions();
  if (known !== undefined || spec.temporary !== true) return;
  mailbox.stock.settings.temporary = true;
  declarer.temporaries.push(() => {
    topic.unsubscribe(spec.name);
    mailbox.drop();
  });
}

function assertDedup({ name, dedupWindowMs = 0 }: Dedup & { readonly name: string }): void {
  if (Number.isSafeInteger(dedupWindowMs) && dedupWindowMs >= 0) return;
  throw wiring(
    `The window of duplicate detection of "${name}" is ${dedupWindowMs}. Give milliseconds, a whole number from 0.`,
  );
}

function assertStream(engine: Engine, { name, partitions }: StreamSpec): void {
  if (!Number.isSafeInteger(partitions) || partitions < 1) {
    throw wiring(
      `The stream "${name}" has ${partitions} partitions. Give it a whole number from 1.`,
    );
  }
  const known = engine.streams.get(name)?.partitions.length;
  if (known === undefined || known === partitions) return;
  throw wiring(
    `The stream "${name}" exists with ${known} partitions and was declared with ${partitions}. ` +
      "The count is fixed, because keys would change their partition: declare it as it is, or give the new stream a new name.",
  );
}

function assertSubscription(
  { topic, name, accepts }: SubscriptionSpec,
  topics: ReadonlySet<string>,
): void {
  if (!topics.has(topic)) {
    throw wiring(
      `The subscription "${name}" names the topic "${topic}", which does not exist. Declare the topic with it.`,
    );
  }
  try {
    compileAcceptances(accepts);
  } catch (error) {
    throw wiring(
      `A rule of the subscription "${topic}/${name}" cannot be read: ${messageOf(error)}. Correct the rule.`,
    );
  }
}

function wiring(message: string): WaybillError {
  return new WaybillError("WIRING_INVALID", message);
}
