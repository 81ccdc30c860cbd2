import { type Environment, WaybillError, sleep } from "@waybill/core";
import type { KafkaClient } from "./client.ts";
import { brokerError } from "./errors.ts";
import { fetchFrom } from "./fetching.ts";
import type { Stored } from "./message.ts";
import { earliest, latest, listOffsets } from "./offsets.ts";

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
const attemptsMax = 20;
const pauseMs = 100;

/** Reads partitions whole, without a group: what is set aside, who subscribes to what. */
export class Log {
  readonly #parts: LogParts;

  constructor(parts: LogParts) {
    this.#parts = parts;
  }

  /** Undefined when there is no such topic. */
  async ends(name: string): Promise<readonly Ends[] | undefined> {
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
    for (let attempt = 0; offset < end;) {
      const read = await this.#readOnce(name, { partition, offset });
      if (read === undefined) {
        if (++attempt > attemptsMax) throw noLeader(name);
        await sleep(this.#parts.environment.timers, pauseMs);
        continue;
      }
      for (const record of read.records) each(record);
      offset = read.next;
    }
    return offset;
  }

  /** The record at an offset; undefined when it is gone. */
  async at(name: string, partition: number, offset: bigint): Promise<Stored | undefined> {
    const read = await this.#readOnce(name, { partition, offset });
    return read?.records.find((record) => record.offset === offset);
  }

  async #readOnce(
    name: string,
    { partition, offset }: { readonly partition: number; readonly offset: bigint },
  ) {
    const { client } = this.#parts;
    const topic = await client.topic(name);
    const leader = topic?.leaders[partition];
    if (topic === undefined || leader === undefined) return undefined;
    try {
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
