import { isDeepStrictEqual } from "node:util";
import { type Discrepancy, type Topology, addressOf } from "@waybill/core";
import type { ConsumerConfig, StreamConfig } from "@nats-io/jetstream";
import { isMissing } from "./errors.ts";
import type { Link } from "./link.ts";
import type { Settings } from "./options.ts";
import { Plan, type PlannedConsumer, type PlannedStream } from "./plan.ts";
import type { Names } from "./topology.ts";

/** What must be as planned; the rest (replicas, limits of the account) is the operator's. */
const streamSettings = ["subjects", "retention", "max_msgs_per_subject", "max_msgs"] as const;
const consumerSettings = [
  "ack_policy",
  "deliver_policy",
  "filter_subject",
  "description",
  "max_deliver",
  "max_ack_pending",
] as const;

interface VerifyParts {
  readonly link: Link;
  readonly names: Names;
  readonly settings: Settings;
}

/** What is missing on the server of a topology, or otherwise. */
export async function lackingOf(
  topology: Topology,
  { link, names, settings }: VerifyParts,
): Promise<readonly Discrepancy[]> {
  const plan = await Plan.of(topology, settings);
  const { streams, consumers } = link.jetstream;
  const found: Discrepancy[] = [];
  for (const wanted of plan.streams) {
    const own = await there(async () => (await streams.info(wanted.name)).config);
    const address = addressOfStream(names, wanted.name);
    found.push(...held(`stream "${wanted.name}"`, address, streamFaults(wanted, own)));
  }
  for (const wanted of plan.consumers) {
    const { stream, config } = wanted;
    const name = config.durable_name;
    const own = await there(async () => (await consumers.info(stream, name)).config);
    const address = addressOfConsumer(names, wanted);
    const what = `consumer "${name}" of the stream "${stream}"`;
    found.push(...held(what, address, consumerFaults(config, own)));
  }
  return found;
}

async function there<Found>(ask: () => Promise<Found>): Promise<Found | undefined> {
  try {
    return await ask();
  } catch (thrown) {
    if (isMissing(thrown)) return undefined;
    throw thrown;
  }
}

/** Undefined where it is not there at all. */
type Faults = readonly string[] | undefined;

function streamFaults(wanted: PlannedStream, own: StreamConfig | undefined): Faults {
  return own && streamSettings.flatMap((setting) => fault(setting, wanted[setting], own[setting]));
}

function consumerFaults(
  wanted: PlannedConsumer["config"],
  own: ConsumerConfig | undefined,
): Faults {
  return (
    own && consumerSettings.flatMap((setting) => fault(setting, wanted[setting], own[setting]))
  );
}

/** What a plan leaves open is as the server has it. */
function fault(setting: string, wanted: unknown, own: unknown): readonly string[] {
  if (wanted === undefined || isDeepStrictEqual(wanted, own)) return [];
  return [`${setting} is ${JSON.stringify(own)} and must be ${JSON.stringify(wanted)}`];
}

function held(what: string, address: string, faults: Faults): readonly Discrepancy[] {
  if (faults === undefined) {
    const message = `The ${what} is missing. Create it from the definitions.`;
    return [{ address, fault: "missing", message }];
  }
  if (faults.length === 0) return [];
  const message = `Of the ${what}, ${faults.join(", ")}. Edit it, or empty it and create it anew.`;
  return [{ address, fault: "different", message }];
}

function addressOfStream(names: Names, stream: string): string {
  const read = names.read(stream);
  if (read === undefined) return stream;
  return read.kind === "event" ? `${read.name}/` : read.name;
}

function addressOfConsumer(names: Names, { stream, config }: PlannedConsumer): string {
  const read = names.read(stream);
  if (read?.kind !== "event") return read?.name ?? stream;
  const name = names.consumerName(config.durable_name);
  return addressOf({ kind: "subscription", topic: read.name, name });
}
