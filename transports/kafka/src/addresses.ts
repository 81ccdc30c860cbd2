import {
  type AddressSettings,
  type AddressState,
  type Environment,
  WaybillError,
  addressOf,
} from "@waybill/core";
import { type AsideState, asideStates, byAddress, plainSettings } from "@waybill/core/adapter";
import type { Aside } from "./aside.ts";
import type { KafkaClient } from "./client.ts";
import { brokerError } from "./errors.ts";
import type { Log } from "./log.ts";
import { lookPatienceMs, patiently } from "./patience.ts";
import { readProgress } from "./progress.ts";
import type { Registry } from "./registry.ts";
import type { MessageSource, Names } from "./topology.ts";

export interface AddressParts {
  readonly environment: Environment;
  readonly client: KafkaClient;
  readonly names: Names;
  readonly log: Log;
  readonly aside: Aside;
  readonly registry: Registry;
}

interface Known {
  readonly address: string;
  readonly kind: AddressState["kind"];
  readonly temporary: boolean;
  /** Undefined where nobody receives: a topic; or where it is not known who has read what. */
  readonly source: MessageSource | undefined;
}

/** Every address that there is, whoever declared it: the names of topics and the registry say it. */
export class Addresses {
  readonly #parts: AddressParts;

  constructor(parts: AddressParts) {
    this.#parts = parts;
  }

  async states(): Promise<readonly AddressState[]> {
    const topics = await this.#topics();
    const states: AddressState[] = [];
    for (const known of await this.#known(topics)) {
      const counted: Record<AsideState, number> = { dead: 0, deferred: 0 };
      for (const state of asideStates)
        if (topics.includes(this.#parts.names.asideTopic(known.address, state)))
          counted[state] = await this.#parts.aside.count(known.address, state);
      states.push({
        ...plainSettings(known),
        ...counted,
        ready: known.source === undefined ? 0 : (await this.#lagOf(known.source)).total,
        // What is in hand is below what is committed, and what waits for its time is not counted by address.
        inFlight: undefined,
        scheduled: undefined,
        oldestReadyMs: undefined,
        receivers: undefined,
      });
    }
    return states;
  }

  async settings(): Promise<readonly AddressSettings[]> {
    return (await this.#known(await this.#topics())).map(plainSettings);
  }

  /** Addresses of which something was ever set aside, in the order of their names. */
  async withAside(state: AsideState): Promise<readonly string[]> {
    const found: string[] = [];
    for (const topic of await this.#topics()) {
      const read = this.#parts.names.read(topic);
      if (read?.kind === state) found.push(read.name);
    }
    return found.toSorted();
  }

  /** Rejects with NOT_FOUND. */
  async assertKnown(address: string): Promise<void> {
    await this.#find(address);
  }

  /** Deletes what stands in a queue that nobody has in hand. Rejects with NOT_FOUND, and NOT_SUPPORTED for what lies where others read it too. */
  async drain(address: string): Promise<number> {
    const { source, kind } = await this.#find(address);
    if (kind === "topic") return 0;
    if (source?.kind !== "queue")
      throw new WaybillError(
        "NOT_SUPPORTED",
        `Over Kafka, Waybill cannot purge "${address}": its events lie where other subscriptions read them too. Stop its receivers, and move its group with kafka-consumer-groups --reset-offsets.`,
      );
    const { total, ends } = await this.#lagOf(source);
    const [topic = ""] = this.#parts.names.place(source).topics;
    if (total === 0) return 0;
    const partitions = ends.map((offset, partition) => ({ partition, offset }));
    try {
      await this.#parts.client.admin.deleteRecords({ topics: [{ name: topic, partitions }] });
    } catch (error) {
      throw brokerError(`Purging "${address}"`, error);
    }
    return total;
  }

  async #find(address: string): Promise<Known> {
    const found = (await this.#known(await this.#topics())).find(
      (each) => each.address === address,
    );
    if (found !== undefined) return found;
    throw new WaybillError("NOT_FOUND", `Kafka has no address "${address}". Correct the name.`);
  }

  #topics(): Promise<readonly string[]> {
    return this.#patiently("Listing what there is", () => this.#parts.client.admin.listTopics());
  }

  #patiently<Answer>(doing: string, look: () => Promise<Answer>): Promise<Answer> {
    const { environment } = this.#parts;
    return patiently({ environment, doing, patienceMs: lookPatienceMs }, look);
  }

  async #known(topics: readonly string[]): Promise<readonly Known[]> {
    const { names, registry } = this.#parts;
    const known: Known[] = [];
    for (const each of topics) {
      const { kind, name = "" } = names.read(each) ?? {};
      const isQueue = kind === "queue";
      if (isQueue)
        known.push({ address: name, kind, temporary: false, source: { kind: "queue", name } });
      if (kind === "event")
        known.push({ address: `${name}/`, kind: "topic", temporary: false, source: undefined });
    }
    await registry.refresh();
    for (const { topic, name, endsWith } of registry.subscriptions()) {
      const source = { kind: "subscription", topic, name } as const;
      const temporary = endsWith !== undefined;
      known.push({ address: addressOf(source), kind: "subscription", temporary, source });
    }
    for (const { name } of registry.temporaryQueues())
      known.push({ address: name, kind: "queue", temporary: true, source: undefined });
    return known.toSorted(byAddress);
  }

  /** What the group has not finished, and where the partitions of its first topic end. */
  async #lagOf(
    source: MessageSource,
  ): Promise<{ readonly total: number; readonly ends: readonly bigint[] }> {
    const { client, names, log } = this.#parts;
    const { group: groupId, topics } = names.place(source);
    const groups = [{ groupId, topics: [] as { name: string; partitionIndexes: number[] }[] }];
    const ends = new Map<string, Awaited<ReturnType<Log["ends"]>>>();
    for (const name of topics) {
      const found = await log.ends(name);
      ends.set(name, found);
      const partitionIndexes = (found ?? []).map((_, partition) => partition);
      groups[0]?.topics.push({ name, partitionIndexes });
    }
    const [group] = await this.#patiently(`Looking at the group "${groupId}"`, () =>
      client.admin.listConsumerGroupOffsets({ groups }),
    );
    let total = 0;
    for (const { name, partitions } of group?.topics ?? [])
      for (const { partitionIndex, committedOffset, metadata } of partitions) {
        const { first = 0n, next = 0n } = ends.get(name)?.[partitionIndex] ?? {};
        const { base, done } = readProgress(Number(committedOffset), metadata);
        const from = Math.max(Number(first), base);
        total += Math.max(0, Number(next) - from - done.size);
      }
    return { total, ends: (ends.get(topics[0] ?? "") ?? []).map(({ next }) => next) };
  }
}
