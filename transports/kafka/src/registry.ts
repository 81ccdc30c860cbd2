import { type Clock, WaybillError } from "@waybill/core";
import { parsedJson } from "@waybill/core/adapter";
import type { Log } from "./log.ts";
import type { Stored } from "./message.ts";
import type { Publisher } from "./publisher.ts";
import type { Names } from "./topology.ts";

export interface RegistryParts {
  readonly names: Names;
  readonly log: Log;
  readonly publisher: Publisher;
  readonly clock: Clock;
}

/** What Kafka does not know of a subscription. */
export interface SubscriptionEntry {
  readonly topic: string;
  readonly name: string;
  readonly types: readonly string[];
  /** The instance with which it ends. */
  readonly endsWith: string | undefined;
  /** When it was last said that it lives, milliseconds since 1970. */
  readonly at: number;
}

/** A temporary queue: a share of a partition that many have together. */
export interface TemporaryEntry {
  readonly name: string;
  readonly partition: number;
  readonly endsWith: string;
  readonly at: number;
}

/** For so long it is believed that who subscribed still does. */
const believedMs = 1_000;

/** Who subscribes to which types, and which temporary queues there are: a compacted topic that every process reads to its end before it answers "nobody". */
export class Registry {
  readonly #parts: RegistryParts;
  readonly #subscriptions = new Map<string, SubscriptionEntry>();
  readonly #temporary = new Map<string, TemporaryEntry>();
  #next = 0n;
  #readAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  constructor(parts: RegistryParts) {
    this.#parts = parts;
  }

  /** Reads what was written since. What is asked for while it reads may be older than the question, so it then reads once more. */
  async refresh(): Promise<void> {
    while (this.#reading !== undefined) await this.#reading;
    this.#reading = this.#read().finally(() => (this.#reading = undefined));
    await this.#reading;
  }

  async subscribe(entry: Omit<SubscriptionEntry, "at">): Promise<void> {
    const { topic, name } = entry;
    await this.#write(`subscription ${topic}/${name}`, entry);
    await this.refresh();
  }

  async open(entry: Omit<TemporaryEntry, "at">): Promise<void> {
    await this.#write(`queue ${entry.name}`, entry);
    await this.refresh();
  }

  /** Says that what ends with that process still lives. */
  async renew(instance: string): Promise<void> {
    for (const entry of this.#subscriptions.values())
      if (entry.endsWith === instance)
        await this.#write(`subscription ${entry.topic}/${entry.name}`, entry);
    for (const entry of this.#temporary.values())
      if (entry.endsWith === instance) await this.#write(`queue ${entry.name}`, entry);
  }

  async remove(kind: "subscription" | "queue", address: string): Promise<void> {
    await this.#write(`${kind} ${address}`, undefined);
  }

  /** Whether anybody takes that type. Only a "yes" may be a second old. */
  async isTaken(topic: string, type: string): Promise<boolean> {
    const { clock } = this.#parts;
    if (clock.monotonic() - this.#readAt < believedMs && this.#takers(topic, type)) return true;
    await this.refresh();
    return this.#takers(topic, type);
  }

  /** Whether that subscription is there and takes the type. */
  async takes(topic: string, name: string, type: string): Promise<boolean> {
    await this.refresh();
    return this.#subscriptions.get(`${topic}/${name}`)?.types.includes(type) === true;
  }

  async temporaryQueue(name: string): Promise<TemporaryEntry | undefined> {
    const known = this.#temporary.get(name);
    if (known !== undefined && this.#parts.clock.monotonic() - this.#readAt < believedMs)
      return known;
    await this.refresh();
    return this.#temporary.get(name);
  }

  /** Whether it ends with a process. Without asking Kafka. */
  isTemporary(address: string): boolean {
    return this.#temporary.has(address) || this.#subscriptions.get(address)?.endsWith !== undefined;
  }

  /** Without asking Kafka. */
  knownTemporary(name: string): TemporaryEntry | undefined {
    return this.#temporary.get(name);
  }

  subscription(topic: string, name: string): SubscriptionEntry | undefined {
    return this.#subscriptions.get(`${topic}/${name}`);
  }

  subscriptions(): readonly SubscriptionEntry[] {
    return [...this.#subscriptions.values()];
  }

  temporaryQueues(): readonly TemporaryEntry[] {
    return [...this.#temporary.values()];
  }

  #takers(topic: string, type: string): boolean {
    for (const entry of this.#subscriptions.values())
      if (entry.topic === topic && entry.types.includes(type)) return true;
    return false;
  }

  async #read(): Promise<void> {
    const { log, names, clock } = this.#parts;
    const startedAt = clock.monotonic();
    this.#next = await log.read(names.registryTopic, 0, {
      from: this.#next,
      each: (record) => this.#take(record),
    });
    this.#readAt = startedAt;
  }

  #take({ key, value }: Stored): void {
    const text = key?.toString() ?? "";
    const [kind, address] = [text.slice(0, text.indexOf(" ")), text.slice(text.indexOf(" ") + 1)];
    const entry = parsedJson(value?.toString() ?? "");
    // Whoever may write there may write nonsense, of which nobody is to stumble.
    if (kind === "queue")
      put(this.#temporary, address, isTemporaryEntry(entry) ? entry : undefined);
    else put(this.#subscriptions, address, isSubscriptionEntry(entry) ? entry : undefined);
  }

  async #write(key: string, entry: object | undefined): Promise<void> {
    const { publisher, names, clock } = this.#parts;
    const said = entry === undefined ? undefined : JSON.stringify({ ...entry, at: clock.now() });
    const value = said === undefined ? undefined : Buffer.from(said);
    const parcel = { topic: names.registryTopic, key: Buffer.from(key), value };
    const lost = await publisher.send([{ ...parcel, partition: 0, headers: new Map() }]);
    if (lost.length > 0)
      throw new WaybillError(
        "TRANSPORT_FAILED",
        `The topic "${names.registryTopic}" is gone, which says who subscribes to what. It is made again when a process connects.`,
        { retryable: true },
      );
  }
}

function put<Entry>(entries: Map<string, Entry>, address: string, entry: Entry | undefined): void {
  if (entry === undefined) entries.delete(address);
  else entries.set(address, entry);
}

function isTemporaryEntry(value: unknown): value is TemporaryEntry {
  const { name, partition, endsWith, at } = Object(value) as Partial<TemporaryEntry>;
  const isPlaced = typeof partition === "number" && Number.isInteger(partition) && partition >= 0;
  return isPlaced && [name, endsWith].every(isText) && typeof at === "number";
}

function isSubscriptionEntry(value: unknown): value is SubscriptionEntry {
  const { topic, name, types, endsWith = "", at } = Object(value) as Partial<SubscriptionEntry>;
  const areTypes = Array.isArray(types) && types.every(isText);
  return areTypes && [topic, name, endsWith].every(isText) && typeof at === "number";
}

function isText(value: unknown): value is string {
  return typeof value === "string";
}
