import {
  type Acceptance,
  type AddressSettings,
  addressOf,
  compileAcceptances,
  type ForwardTarget,
  type Pause,
  type Source,
  type Taking,
} from "@waybill/core";
import { BookTypes } from "./operating/book.ts";
import type { Statements } from "./storage/statements.ts";

export type AddressKind = "queue" | "topic" | "subscription" | "stream";

/** A place where messages wait: a queue, a subscription, what a stream's group has set aside, or the dead letters of a topic itself. */
export interface Address {
  readonly id: number;
  readonly kind: AddressKind;
  /** As `addressOf` writes it; a topic's own is `topic/`. */
  readonly name: string;
  /** Window of duplicate detection in milliseconds; 0 for none. */
  readonly dedupMs: number;
  /** Messages with a key wait in the session of that key. */
  readonly keepsSessions: boolean;
  /** Nothing is delivered from it. */
  readonly paused: Pause | undefined;
  readonly forwardsTo: ForwardTarget | undefined;
  /** The queue among whose dead letters its own stand. */
  readonly deadLettersTo: string | undefined;
  readonly temporary: boolean;
}

/** A subscription that names an event's type, whether it wants this one, and what it changes. */
export interface Taker extends Taking {
  readonly address: Address;
}

interface Topic {
  readonly address: number;
  readonly takers: Map<string, Taker[]>;
}

export interface StreamEntry {
  readonly id: number;
  readonly name: string;
  /** Ids of its partitions in their order. */
  readonly partitions: readonly number[];
}

interface AddressRow {
  readonly id: number;
  readonly kind: AddressKind;
  readonly name: string;
  readonly topic: string | null;
  readonly accepts: string | null;
  readonly dedup_ms: number;
  readonly sessions: number;
  readonly paused_at: number | null;
  readonly paused_reason: string | null;
  readonly instance: number | null;
  readonly forward_to: string | null;
  readonly dead_letters_to: string | null;
}

const nobody: readonly Taker[] = [];

/** The declared topology in memory, rules compiled; read again when any process has changed it. */
export class AddressBook {
  readonly types: BookTypes;
  readonly #sql: Statements;
  #version = -1;
  #foreseen = false;
  #byName = new Map<string, Address>();
  #byId = new Map<number, Address>();
  #topics = new Map<string, Topic>();
  #streams = new Map<string, StreamEntry>();
  #forwarding: readonly Address[] = [];

  constructor(sql: Statements) {
    this.#sql = sql;
    this.types = new BookTypes(sql);
  }

  get version(): number {
    return this.#version;
  }

  /** Reads whether it has changed. What a transaction shows is read by itself. */
  reread(): void {
    const [, topology] = this.#sql.readState.get() as unknown as [number, number];
    this.refresh(topology);
  }

  /** As `refresh`, in a transaction that changed the topology itself. */
  foresee(version: number): void {
    this.refresh(version);
    this.#foreseen = true;
  }

  /** A transaction was rolled back: what it foresaw never was. */
  doubt(): void {
    if (this.#foreseen) this.#version = -1;
  }

  /** `version` is the one that the database holds now. */
  refresh(version: number): void {
    this.#foreseen = false;
    if (version === this.#version) return;
    this.#byName = new Map();
    this.#byId = new Map();
    this.#topics = new Map();
    const rows = this.#sql.allAddresses.all() as unknown as AddressRow[];
    for (const row of rows) {
      const { id, kind, name } = row;
      const address = addressOfRow(row);
      this.#byName.set(keyOf(kind, name), address);
      this.#byId.set(id, address);
      if (kind === "topic") this.#topics.set(name.slice(0, -1), { address: id, takers: new Map() });
    }
    for (const row of rows) this.#subscribe(row);
    this.#forwarding = [...this.#byId.values()].filter(
      ({ forwardsTo, paused }) => forwardsTo !== undefined && paused === undefined,
    );
    this.#readStreams();
    this.#version = version;
  }

  find(kind: AddressKind, name: string): Address | undefined {
    return this.#byName.get(keyOf(kind, name));
  }

  findSource(source: Source): Address | undefined {
    return this.find(source.kind, addressOf(source));
  }

  /** Where a receiver of this source gets something; undefined while that is paused, forwards, or does not exist. */
  delivering(source: Source): number | undefined {
    const address = this.findSource(source);
    return address !== undefined && delivers(address) ? address.id : undefined;
  }

  /** Those from which messages go on now. */
  get forwarding(): readonly Address[] {
    return this.#forwarding;
  }

  get(id: number): Address | undefined {
    return this.#byId.get(id);
  }

  all(): Iterable<Address> {
    return this.#byId.values();
  }

  topic(name: string): number | undefined {
    return this.#topics.get(name)?.address;
  }

  /** Subscriptions of the topic that name the type; empty when there is none. */
  takers(topic: string, type: string): readonly Taker[] {
    return this.#topics.get(topic)?.takers.get(type) ?? nobody;
  }

  stream(name: string): StreamEntry | undefined {
    return this.#streams.get(name);
  }

  streams(): Iterable<StreamEntry> {
    return this.#streams.values();
  }

  #subscribe(row: AddressRow): void {
    const topic = row.topic === null ? undefined : this.#topics.get(row.topic);
    if (row.kind !== "subscription" || topic === undefined) return;
    const accepts = JSON.parse(row.accepts ?? "[]") as Acceptance[];
    const address = this.#byId.get(row.id) ?? addressOfRow(row);
    for (const [type, { wants, change }] of compileAcceptances(accepts)) {
      const taker = { address, wants, change };
      const takers = topic.takers.get(type);
      if (takers === undefined) topic.takers.set(type, [taker]);
      else takers.push(taker);
    }
  }

  #readStreams(): void {
    const streams = new Map<string, { id: number; name: string; partitions: number[] }>();
    for (const row of this.#sql.allPartitions.all() as unknown as {
      id: number;
      name: string;
      partition: number;
    }[]) {
      const entry = streams.get(row.name) ?? { id: row.id, name: row.name, partitions: [] };
      entry.partitions.push(row.partition);
      streams.set(row.name, entry);
    }
    this.#streams = streams;
  }
}

/** Whether receivers get something from it. */
export function delivers({ paused, forwardsTo }: Address): boolean {
  return paused === undefined && forwardsTo === undefined;
}

export function settingsOf(address: Address): AddressSettings {
  const { name, kind, paused, forwardsTo, deadLettersTo, temporary } = address;
  return { address: name, kind, paused, forwardsTo, deadLettersTo, temporary };
}

function addressOfRow(row: AddressRow): Address {
  const { id, kind, name, paused_at: since, paused_reason: reason, forward_to: target } = row;
  return {
    id,
    kind,
    name,
    dedupMs: row.dedup_ms,
    keepsSessions: row.sessions === 1,
    paused: since === null ? undefined : { since, reason: reason ?? "" },
    forwardsTo: target === null ? undefined : (JSON.parse(target) as ForwardTarget),
    deadLettersTo: row.dead_letters_to ?? undefined,
    temporary: row.instance !== null,
  };
}

function keyOf(kind: AddressKind, name: string): string {
  return `${kind} ${name}`;
}
