import { type Environment, type GroupState, WaybillError, addressOf } from "@waybill/core";
import type { KafkaClient } from "../client.ts";
import { keyOf } from "../assignment.ts";
import type { Log } from "../log.ts";
import { committed } from "../offsets.ts";
import { lookPatienceMs, patiently } from "../patience.ts";
import type { Progress } from "../progress.ts";
import type { Names } from "../topology.ts";

export interface GroupsParts {
  readonly environment: Environment;
  readonly client: KafkaClient;
  readonly names: Names;
  readonly log: Log;
}

/** How far a partition goes. */
export interface PartitionEnds {
  readonly partition: number;
  readonly oldest: number;
  readonly end: number;
}

/** The groups of streams, as the brokers know them. */
export class Groups {
  readonly #parts: GroupsParts;

  constructor(parts: GroupsParts) {
    this.#parts = parts;
  }

  /** Rejects with NOT_FOUND. */
  async of(stream: string): Promise<readonly GroupState[]> {
    const ends = await this.ends(stream);
    const states: GroupState[] = [];
    for (const group of await this.named(stream)) {
      const cursors = await this.cursors(stream, group, ends.length);
      if (cursors.size > 0) states.push(groupState(group, ends, cursors));
    }
    return states;
  }

  /** Names of groups that read a stream, or did. */
  async named(stream: string): Promise<readonly string[]> {
    const begin = `${stream}@`;
    return (await this.addresses())
      .filter((address) => address.startsWith(begin))
      .map((address) => address.slice(begin.length))
      .toSorted();
  }

  /** `stream@group` of every group of every stream. */
  async addresses(): Promise<readonly string[]> {
    const { client, names } = this.#parts;
    const groups = await this.#patiently("Listing groups", () => client.admin.listGroups());
    return [...groups.keys()].flatMap((id) => {
      const address = names.addressOfGroup(id);
      return address?.includes("@") === true ? [address] : [];
    });
  }

  /** By partition; without those in which the group never committed. */
  async cursors(
    stream: string,
    group: string,
    count: number,
  ): Promise<ReadonlyMap<number, Progress>> {
    const { client, names } = this.#parts;
    const id = names.group(addressOf({ kind: "stream", name: stream, group }));
    const topic = names.streamTopic(stream);
    const keys = Array.from({ length: count }, (_, partition) => keyOf({ topic, partition }));
    const found = await this.#patiently(`Looking at the group "${id}"`, async () => {
      const broker = await client.coordinator(id);
      return committed((name, ...args) => client.ask(broker, name, ...args), id, keys);
    });
    const cursors = new Map<number, Progress>();
    for (const [partition, key] of keys.entries()) {
      const progress = found.get(key);
      if (progress !== undefined) cursors.set(partition, progress);
    }
    return cursors;
  }

  /** Rejects with NOT_FOUND. */
  async ends(stream: string): Promise<readonly PartitionEnds[]> {
    const { log, names } = this.#parts;
    const ends = await log.ends(names.streamTopic(stream));
    if (ends === undefined) throw unknownStream(stream);
    return ends.map(({ first, next }, partition) => ({
      partition,
      oldest: Number(first),
      end: Number(next),
    }));
  }

  #patiently<Answer>(doing: string, look: () => Promise<Answer>): Promise<Answer> {
    const { environment } = this.#parts;
    return patiently({ environment, doing, patienceMs: lookPatienceMs }, look);
  }
}

export function groupState(
  group: string,
  ends: readonly PartitionEnds[],
  cursors: ReadonlyMap<number, Progress>,
): GroupState {
  const partitions = ends.map(({ partition, oldest, end }) => {
    const base = Math.min(end, Math.max(oldest, cursors.get(partition)?.base ?? oldest));
    return { partition, committed: base, end, lag: end - base, oldest };
  });
  return { group, partitions };
}

export function unknownStream(stream: string): WaybillError {
  return new WaybillError(
    "NOT_FOUND",
    `There is no stream "${stream}". Declare it, or correct the name.`,
  );
}

export function unknownGroup(stream: string, group: string): WaybillError {
  return new WaybillError(
    "NOT_FOUND",
    `No group "${group}" has read the stream "${stream}". Correct the name, or start its service first.`,
  );
}
