import {
  type Broker,
  type MessageRecord,
  NumericMap,
  ResponseError,
  compatibilityPartitioner,
  type produceV11,
  protocolErrorsCodesById,
} from "@platformatic/kafka";
import { type Environment, WaybillError, sleep } from "@waybill/core";
import type { KafkaClient } from "./client.ts";
import { brokerError } from "./errors.ts";
import type { Written } from "./message.ts";
import type { Settings } from "./options.ts";

/** A record on its way. */
export interface Parcel extends Omit<Written, "value"> {
  readonly topic: string;
  /** Default: by its key, else one after the other. */
  readonly partition?: number;
  /** Undefined: a tombstone. */
  readonly value: Buffer | undefined;
}

export interface ProducingParts {
  readonly client: KafkaClient;
  readonly settings: Settings;
  readonly environment: Environment;
  readonly signal: AbortSignal;
}

/** What goes to one partition in one request. */
interface Load {
  readonly topic: string;
  readonly partition: number;
  readonly key: string;
  readonly parcels: Parcel[];
  sequence: number;
  /** Its leader has not heard of the topic: it is gone, or was just made. */
  isUnknown: boolean;
}

interface Identity {
  readonly producerId: bigint;
  readonly producerEpoch: number;
}

type Refused = ReadonlyMap<Parcel, WaybillError>;

const everyCopyInSync = -1;
const uncompressed = "none";
const [pauseMs, pauseMsMax] = [50, 2_000];
const sequenceEnd = 2 ** 31;

/** Produces a batch: every partition's records under sequence numbers, which stay the same when it is sent again, so that the brokers store it once. */
export class Producing {
  readonly #parts: ProducingParts;
  #identity: Identity | undefined;
  readonly #sequences = new Map<string, number>();
  readonly #turns = new Map<string, number>();

  constructor(parts: ProducingParts) {
    this.#parts = parts;
  }

  /** Answers what was not stored, and why: NOT_FOUND where there is no such topic. One batch at a time, of at most `messageBytesMax`. */
  async produce(parcels: readonly Parcel[]): Promise<Refused> {
    const { environment, settings, signal } = this.#parts;
    const refused = new Map<Parcel, WaybillError>();
    const giveUpAt = environment.clock.monotonic() + settings.sendTimeoutMs;
    let open: readonly Load[] | undefined;
    for (let attempt = 0; ; attempt++) {
      let failure: unknown;
      try {
        if (this.#identity === undefined) {
          this.#identity = await this.#identify();
          for (const load of open ?? []) this.#number(load);
        }
        open ??= await this.#loads(parcels, refused);
        ({ open, failure } = await this.#attempt(open, refused));
      } catch (thrown) {
        failure = thrown;
      }
      if (open?.length === 0) return refused;
      const error = brokerError("Sending", failure);
      if (!error.retryable || environment.clock.monotonic() >= giveUpAt || signal.aborted)
        return this.#giveUp(open ?? [{ parcels }], refused, signal.aborted ? closedEarly() : error);
      const waitMs = Math.min(pauseMs * 2 ** attempt, pauseMsMax) * (0.5 + environment.random());
      await sleep(environment.timers, waitMs, signal).catch(() => undefined);
    }
  }

  #giveUp(
    open: readonly Pick<Load, "parcels" | "topic">[] | readonly { parcels: readonly Parcel[] }[],
    refused: Map<Parcel, WaybillError>,
    error: WaybillError,
  ): Refused {
    for (const { parcels } of open) for (const parcel of parcels) refused.set(parcel, error);
    // What of it is stored is not known, and so are the sequence numbers.
    this.#identity = undefined;
    return refused;
  }

  async #identify(): Promise<Identity> {
    const { client, settings } = this.#parts;
    const { requestTimeoutMs } = settings;
    const identity = await client.askAny<Identity>(
      "InitProducerId",
      null,
      requestTimeoutMs,
      -1n,
      -1,
    );
    this.#sequences.clear();
    return { producerId: identity.producerId, producerEpoch: identity.producerEpoch };
  }

  async #loads(
    parcels: readonly Parcel[],
    refused: Map<Parcel, WaybillError>,
  ): Promise<readonly Load[]> {
    const loads = new Map<string, Load>();
    for (const parcel of parcels) {
      const { topic } = parcel;
      const info = await this.#parts.client.topic(topic);
      if (info === undefined) {
        refused.set(parcel, missing(topic));
        continue;
      }
      const partition = this.#partitionOf(parcel, info.leaders.length);
      const key = `${topic}:${partition}`;
      const load = loads.get(key);
      if (load !== undefined) load.parcels.push(parcel);
      else {
        const begun = { topic, partition, key, parcels: [parcel] };
        loads.set(key, { ...begun, sequence: -1, isUnknown: false });
      }
    }
    for (const load of loads.values()) this.#number(load);
    for (const topic of new Set(parcels.map((parcel) => parcel.topic))) {
      const turn = this.#turns.get(topic);
      if (turn !== undefined) this.#turns.set(topic, turn + 1);
    }
    return [...loads.values()];
  }

  #number(load: Load): void {
    load.sequence = this.#sequences.get(load.key) ?? 0;
    this.#sequences.set(load.key, (load.sequence + load.parcels.length) % sequenceEnd);
  }

  /** By key as every Kafka client does; without one by turns, so that a batch stays together and in order. */
  #partitionOf({ topic, partition, key }: Parcel, count: number): number {
    if (partition !== undefined) return partition;
    if (key !== undefined) return compatibilityPartitioner(undefined as never, key) % count;
    const turn = this.#turns.get(topic) ?? Math.floor(this.#parts.environment.random() * count);
    this.#turns.set(topic, turn);
    return turn % count;
  }

  async #attempt(
    loads: readonly Load[],
    refused: Map<Parcel, WaybillError>,
  ): Promise<{ readonly open: readonly Load[]; readonly failure: unknown }> {
    const byLeader = new Map<Broker | undefined, Load[]>();
    const leaders = new Map<string, Broker>();
    for (const load of loads) {
      const topic = await this.#parts.client.topic(load.topic);
      if (topic === undefined && load.isUnknown) {
        this.#refuse(load, missing(load.topic), refused);
        continue;
      }
      const leader = topic?.leaders[load.partition];
      const known = leader && (leaders.get(`${leader.host}:${leader.port}`) ?? leader);
      if (known !== undefined) leaders.set(`${known.host}:${known.port}`, known);
      byLeader.set(known, [...(byLeader.get(known) ?? []), load]);
    }
    const open: Load[] = [];
    let failure: unknown = new Error("No broker leads the partition");
    await Promise.all(
      [...byLeader].map(async ([leader, led]) => {
        try {
          if (leader === undefined) throw failure;
          await this.#request(leader, led);
        } catch (thrown) {
          failure = thrown;
          open.push(...this.#judge(led, thrown, refused));
        }
      }),
    );
    if (open.length > 0) for (const { topic } of open) this.#parts.client.forget(topic);
    return { open, failure };
  }

  #refuse(
    { key, sequence, parcels }: Load,
    error: WaybillError,
    refused: Map<Parcel, WaybillError>,
  ): void {
    for (const parcel of parcels) refused.set(parcel, error);
    this.#sequences.set(key, sequence);
  }

  async #request(leader: Broker, loads: readonly Load[]): Promise<void> {
    const { client, settings } = this.#parts;
    const sequences = new NumericMap();
    for (const { key, sequence } of loads) sequences.set(key, sequence);
    const records = loads.flatMap(({ topic, partition, parcels }) =>
      parcels.map((parcel) => recordOf(parcel, topic, partition)),
    );
    const options = { ...this.#identity, sequences, compression: uncompressed };
    await client.ask(
      leader,
      "Produce",
      everyCopyInSync,
      settings.requestTimeoutMs,
      records,
      options,
    );
  }

  /** What is worth another attempt. */
  #judge(
    loads: readonly Load[],
    thrown: unknown,
    refused: Map<Parcel, WaybillError>,
  ): readonly Load[] {
    const codes = thrown instanceof ResponseError ? codesOf(thrown) : undefined;
    if (codes === undefined) return loads;
    const open: Load[] = [];
    let isLost = false;
    for (const load of loads) {
      const id = codes.get(load.key) ?? "NONE";
      // It was stored when it was sent before.
      if (id === "NONE" || id === "DUPLICATE_SEQUENCE_NUMBER") continue;
      // Whether there is no such topic is for the cluster to say.
      load.isUnknown = id === unknownTopic;
      const error = brokerError("Sending", thrown);
      if (error.retryable || load.isUnknown) open.push(load);
      else this.#refuse(load, error, refused);
      isLost ||= lostStates.includes(id);
    }
    if (isLost) this.#identity = undefined;
    return open;
  }
}

const unknownTopic = "UNKNOWN_TOPIC_OR_PARTITION";
/** The brokers have forgotten this producer, or count otherwise: it becomes another one. */
const lostStates = [
  "OUT_OF_ORDER_SEQUENCE_NUMBER",
  "UNKNOWN_PRODUCER_ID",
  "INVALID_PRODUCER_EPOCH",
  "INVALID_PRODUCER_ID_MAPPING",
];

function codesOf(error: ResponseError): ReadonlyMap<string, string> | undefined {
  const response = error["response"] as Partial<produceV11.ProduceResponse> | undefined;
  if (response?.responses === undefined) return undefined;
  const codes = new Map<string, string>();
  for (const { name, partitionResponses } of response.responses)
    for (const { index, errorCode } of partitionResponses)
      codes.set(`${name}:${index}`, protocolErrorsCodesById[errorCode] ?? "UNKNOWN_SERVER_ERROR");
  return codes;
}

function recordOf(
  { key, value, headers }: Parcel,
  topic: string,
  partition: number,
): MessageRecord {
  return {
    topic,
    partition,
    headers,
    value: value as Buffer,
    ...(key !== undefined && { key }),
  };
}

export function missing(topic: string): WaybillError {
  return new WaybillError("NOT_FOUND", `Kafka has no topic "${topic}". Declare it first.`);
}

export function closedEarly(): WaybillError {
  return new WaybillError("CLOSED", "The bus was closed before Kafka had confirmed what was sent.");
}
