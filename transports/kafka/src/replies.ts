import { type Environment, type QueueSpec, WaybillError } from "@waybill/core";
import { asideStates } from "@waybill/core/adapter";
import type { PartitionKey } from "./assignment.ts";
import type { Log } from "./log.ts";
import { beginning } from "./progress.ts";
import type { Registry } from "./registry.ts";
import type { Holder, Seat } from "./seat.ts";
import { type TopicParts, type WantedTopic, deleteTopics, ensureTopics } from "./topics.ts";
import type { Names } from "./topology.ts";
import type { Window } from "./window.ts";

export interface RepliesParts extends TopicParts {
  readonly names: Names;
  readonly log: Log;
  readonly registry: Registry;
  readonly instance: string;
  readonly environment: Environment;
}

interface Place {
  readonly partition: number;
  /** What lay there before is for others. */
  readonly from: number;
}

/** The topic that temporary queues share. */
export function repliesTopic(names: Names): WantedTopic {
  return { name: names.repliesTopic, partitions: 8, keeping: { ageMs: 60 * 60 * 1_000 } };
}

/**
 * Temporary queues have no topics of their own, which would cost a cluster more than it costs to read past what is for others: they share the
 * partitions of one topic. Nothing is kept of how far they were read: they end with their process.
 */
export class Replies {
  readonly #parts: RepliesParts;
  readonly #places = new Map<string, Place>();

  constructor(parts: RepliesParts) {
    this.#parts = parts;
  }

  has(name: string): boolean {
    return this.#places.has(name);
  }

  async declare({ name }: QueueSpec): Promise<void> {
    if (this.#places.has(name)) return;
    const { names, log, registry, instance, environment } = this.#parts;
    await ensureTopics(this.#parts, [repliesTopic(names)]);
    const ends = (await log.ends(names.repliesTopic)) ?? [];
    const partition = Math.floor(environment.random() * ends.length);
    const from = Number(ends[partition]?.next ?? 0n);
    await registry.open({ name, partition, endsWith: instance });
    this.#places.set(name, { partition, from });
  }

  seat(name: string): Seat {
    const place = this.#places.get(name);
    if (place === undefined)
      throw new WaybillError("NOT_FOUND", `This process has no temporary queue "${name}".`);
    return new ReplySeat(`${this.#parts.names.repliesTopic}:${place.partition}`, place.from);
  }

  async end(): Promise<void> {
    const { registry, names, client } = this.#parts;
    for (const name of this.#places.keys()) {
      // Where the connection is lost, others forget it.
      await registry.remove("queue", name).catch(() => undefined);
      const topics: string[] = [];
      for (const state of asideStates) {
        const topic = names.asideTopic(name, state);
        if ((await client.topic(topic).catch(() => undefined)) !== undefined) topics.push(topic);
      }
      await deleteTopics(this.#parts, topics);
    }
  }
}

/** Alone at one partition, of which nobody else takes anything away. */
class ReplySeat implements Seat {
  readonly #key: PartitionKey;
  readonly #from: number;
  #holder: Holder | undefined;
  #isReleased = false;
  #isLeaving = false;

  constructor(key: PartitionKey, from: number) {
    this.#key = key;
    this.#from = from;
  }

  begin(holder: Holder): void {
    this.#holder = holder;
    holder.assigned([{ key: this.#key, ...beginning(this.#from) }]);
  }

  keep(windows: readonly Window[]): Promise<void> {
    for (const window of windows) window.dirty = false;
    return Promise.resolve();
  }

  isSure(): boolean {
    return true;
  }

  confirm(): Promise<boolean> {
    return Promise.resolve(true);
  }

  release(): void {
    this.#isReleased = true;
    if (this.#isLeaving) this.#holder?.left();
  }

  leave(): void {
    this.#isLeaving = true;
    if (this.#isReleased) this.#holder?.left();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}
