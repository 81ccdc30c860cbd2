import { type Environment, WaybillError, sleep } from "@waybill/core";
import type { KafkaClient } from "./client.ts";
import { brokerError } from "./errors.ts";
import { type Fetched, fetchFrom } from "./fetching.ts";
import type { Stored } from "./message.ts";
import { earliest, latest, listOffsets } from "./offsets.ts";
import { lookPatienceMs, patiently } from "./patience.ts";

export interface LogParts {
  readonly client: KafkaClient;
  readonly environment: Environment;
}

/** Ends of a partition. */
export interface Ends {
  readonly first: bigint;
  /** The offset that the next record gets. */
  readonly next: bigint;
}

interface Range {
  readonly from: bigint;
  /** Default: its end now. */
  readonly to?: bigint;
  readonly each: (record: Stored) => void;
}

const limits = { waitMs: 100, partitionBytes: 4 * 1024 * 1024 };
const pauseMs = 100;
const attemptsMax = lookPatienceMs / pauseMs;

/** Reads partitions whole, without a group: what is set aside, who subscribes to what. */
export class Log {
  readonly #parts: LogParts;

  constructor(parts: LogParts) {
    this.#parts = parts;
  }

  /** Undefined when there is no such topic. */
  ends(name: string): Promise<readonly Ends[] | undefined> {
    const { environment } = this.#parts;
    const patience = { environment, doing: `Looking at "${name}"`, patienceMs: lookPatienceMs };
    return patiently(patience, () => this.#ends(name));
  }

  async #ends(name: string): Promise<readonly Ends[] | undefined> {
    const { client } = this.#parts;
    const topic = await client.topic(name);
    if (topic === undefined) return undefined;
    const partitions = topic.leaders.map((_, partition) => partition);
    const [first, next] = await Promise.all([
      listOffsets(client, name, { at: earliest, partitions }),
      listOffsets(client, name, { at: latest, partitions }),
    ]);
    return partitions.map((partition) => ({
      first: BigInt(first.get(partition) ?? 0),
      next: BigInt(next.get(partition) ?? 0),
    }));
  }

  /** Everything of a partition between two offsets, and more where the last batch holds more. Answers where to read on. */
  async read(name: string, partition: number, { from, to, each }: Range): Promise<bigint> {
    const { first, next } = (await this.ends(name))?.[partition] ?? { first: 0n, next: 0n };
    const end = to !== undefined && to < next ? to : next;
    let offset = from < first ? first : from;
    while (offset < end) {
      const { records, next: behind } = await this.#insist(name, { partition, offset });
      for (const record of records) each(record);
      offset = behind;
    }
    return offset;
  }

  /** The record at an offset; undefined when it is gone. */
  async at(name: string, partition: number, offset: bigint): Promise<Stored | undefined> {
    if ((await this.#parts.client.topic(name)) === undefined) return undefined;
    const { records } = await this.#insist(name, { partition, offset });
    return records.find((record) => record.offset === offset);
  }

  /** Until a broker answers, which may be another one by then. */
  async #insist(
    name: string,
    place: { readonly partition: number; readonly offset: bigint },
  ): Promise<Pick<Fetched, "records" | "next">> {
    for (let attempt = 0; attempt < attemptsMax; attempt++) {
      const read = await this.#readOnce(name, place);
      if (read !== undefined) return read;
      await sleep(this.#parts.environment.timers, pauseMs);
    }
    throw noLeader(name);
  }

  async #readOnce(
    name: string,
    { partition, offset }: { readonly partition: number; readonly offset: bigint },
  ) {
    const { client } = this.#parts;
    try {
      const topic = await client.topic(name);
      const leader = topic?.leaders[partition];
      if (topic === undefined || leader === undefined) {
        client.forget(name);
        return undefined;
      }
      const wanted = [{ topic, partition, offset }];
      const [read] = await fetchFrom(client, leader, { wanted, limits });
      if (read?.error === "NONE") return read;
      client.forget(name);
      return undefined;
    } catch (thrown) {
      client.forget(name);
      const error = brokerError(`Reading "${name}"`, thrown);
      if (!error.retryable) throw error;
      return undefined;
    }
  }
}

function noLeader(topic: string): WaybillError {
  return new WaybillError(
    "TRANSPORT_FAILED",
    `No broker answers for the topic "${topic}". Look whether it is being deleted, or its broker is down.`,
    { retryable: true },
  );
}
