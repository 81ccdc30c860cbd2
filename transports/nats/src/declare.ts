import { type SubscriptionSpec, type Topology, WaybillError } from "@waybill/core";
import type { AsideState } from "@waybill/core/adapter";
import {
  AckPolicy,
  type ConsumerConfig,
  DeliverPolicy,
  DiscardPolicy,
  ReplayPolicy,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { isMissing } from "./errors.ts";
import type { Link } from "./link.ts";
import { type Settings, duplicateWindowMs } from "./options.ts";
import type { Names } from "./topology.ts";

export interface DeclareParts {
  readonly link: Link;
  readonly names: Names;
  readonly settings: Settings;
  /** False: see `TransportHost.mayCreate`. */
  readonly mayCreate?: boolean;
}

/** Who takes what would be made, in place of the server. */
export interface Instead {
  stream(config: NewStream): Promise<void>;
  consumer(stream: string, config: NewConsumer): Promise<void>;
}

type Making =
  | (DeclareParts & { readonly instead?: undefined })
  | (Pick<DeclareParts, "names" | "settings"> & { readonly instead: Instead });

/** What a dead process leaves of its own goes after this time. */
export const forgottenMs = 60_000;
/** Until the first receiver says how long its locks are. */
const firstLockMs = 30_000;
/** Unrouted events kept for each topic; the oldest leave first. */
const unroutedMax = 10_000;
const descriptionMax = 4_000;

type NewStream = Partial<StreamConfig> & Pick<StreamConfig, "name">;
type NewConsumer = Partial<ConsumerConfig> & { readonly durable_name: string };

/** Creates what is missing, and keeps what is there. Rules are evaluated at the consumer: a filter knows types only. */
export async function declare(parts: Making, topology: Topology): Promise<void> {
  const { names } = parts;
  for (const { name, temporary = false } of topology.queues) {
    const { stream, consumer } = names.place({ kind: "queue", name }, temporary);
    const subjects = [names.queueSubject(name)];
    if (temporary) await ensureStream(parts, { name: stream, subjects, ...fleeting });
    else
      await ensureStream(parts, { name: stream, subjects, retention: RetentionPolicy.Workqueue });
    const deliver_policy = DeliverPolicy.All;
    await ensureConsumer(parts, stream, {
      durable_name: consumer,
      deliver_policy,
      ...(temporary && forgetful),
    });
  }
  for (const { name } of topology.topics)
    await ensureStream(parts, {
      name: names.topicStream(name),
      subjects: [names.eventsOf(name)],
      retention: RetentionPolicy.Interest,
    });
  for (const subscription of topology.subscriptions) await subscribe(parts, subscription);
}

/** Where notes lie: one for each message that went back. */
export async function declareNotes(parts: Making): Promise<void> {
  const { notesStream: name, allNotes } = parts.names;
  await ensureStream(parts, { name, subjects: [allNotes], max_msgs_per_subject: 1 });
}

/** Where what was set aside lies. Made when the first message is: most addresses never need it. */
export async function declareAside(
  parts: Making,
  address: string,
  state: AsideState,
): Promise<void> {
  const { names } = parts;
  await ensureStream(parts, {
    name: names.asideStream(address, state),
    subjects: [names.asideSubject(address, state, "*")],
    max_msgs_per_subject: 1,
    ...(address.endsWith("/") && { max_msgs: unroutedMax }),
  });
}

async function subscribe(parts: Making, subscription: SubscriptionSpec): Promise<void> {
  const { names } = parts;
  const { topic, name, accepts, temporary = false } = subscription;
  const { stream, consumer } = names.place({ kind: "subscription", topic, name }, temporary);
  const types = [...new Set(accepts.map(({ type }) => type))];
  const [only, ...more] = types;
  const description = JSON.stringify(types);
  if (description.length > descriptionMax)
    throw new WaybillError(
      "WIRING_INVALID",
      `The subscription "${name}" of "${topic}" takes more types than NATS can note. Split it.`,
    );
  try {
    await ensureConsumer(parts, stream, {
      durable_name: consumer,
      deliver_policy: DeliverPolicy.New,
      description,
      // One filter is all that nats-server 2.9 has; of several types the receiver leaves out the others.
      filter_subject:
        only !== undefined && more.length === 0
          ? names.typeFilter(topic, only)
          : names.eventsOf(topic),
      ...(temporary && forgetful),
    });
  } catch (cause) {
    if (!isMissing(cause)) throw cause;
    throw new WaybillError(
      "WIRING_INVALID",
      `There is no topic "${topic}" to subscribe to. Declare it with the subscription.`,
      { cause },
    );
  }
}

/** Holds nothing once its consumer is forgotten. */
const fleeting = {
  retention: RetentionPolicy.Interest,
  storage: StorageType.Memory,
  num_replicas: 1,
};
const forgetful = { inactive_threshold: nanos(forgottenMs), mem_storage: true };

/** Answers how it is, where it was there before. */
export async function ensureStream(
  parts: Making,
  stream: NewStream,
): Promise<StreamConfig | undefined> {
  const wanted = {
    storage: StorageType.File,
    discard: DiscardPolicy.Old,
    num_replicas: parts.settings.replicas,
    duplicate_window: nanos(duplicateWindowMs),
    allow_direct: true,
    ...stream,
  };
  if (parts.instead !== undefined) {
    await parts.instead.stream(wanted);
    return undefined;
  }
  const { streams } = parts.link.jetstream;
  try {
    return (await streams.info(stream.name)).config;
  } catch (thrown) {
    if (!isMissing(thrown)) throw thrown;
    if (parts.mayCreate === false && parts.names.read(stream.name)?.kind !== "temporary")
      throw lacking(stream.name);
    await streams.add(wanted);
    return undefined;
  }
}

function lacking(stream: string): WaybillError {
  return new WaybillError(
    "NOT_FOUND",
    `NATS has no stream "${stream}" any more, and this bus creates nothing. Create it from the definitions.`,
  );
}

async function ensureConsumer(parts: Making, stream: string, asked: NewConsumer): Promise<void> {
  const wanted = {
    ack_policy: AckPolicy.Explicit,
    replay_policy: ReplayPolicy.Instant,
    ack_wait: nanos(firstLockMs),
    // How often a message is tried is ours to decide; what waits for its retry must not stop the others.
    max_deliver: -1,
    max_ack_pending: -1,
    ...asked,
  };
  if (parts.instead !== undefined) return parts.instead.consumer(stream, wanted);
  const { consumers } = parts.link.jetstream;
  try {
    const { config } = await consumers.info(stream, wanted.durable_name);
    const { description, filter_subject } = wanted;
    if (config.description === description && config.filter_subject === filter_subject) return;
    await consumers.update(stream, wanted.durable_name, {
      ...(description !== undefined && { description }),
      ...(filter_subject !== undefined && { filter_subject }),
    });
  } catch (thrown) {
    if (!isMissing(thrown)) throw thrown;
    await consumers.add(stream, wanted);
  }
}
