import { type Source, WaybillError, addressOf } from "@waybill/core";
import type { AsideState } from "@waybill/core/adapter";

export type MessageSource = Exclude<Source, { kind: "stream" }>;

/** Where an address lies: a stream, and the durable consumer that all its receivers share. */
export interface Place {
  readonly address: string;
  readonly kind: "queue" | "subscription";
  readonly temporary: boolean;
  readonly stream: string;
  readonly consumer: string;
}

/** A group of a stream. */
export interface GroupName {
  readonly stream: string;
  readonly group: string;
}

/** JetStream's bound for the names of streams and consumers; the file system's is the same. */
const nameMax = 250;
const queueConsumer = "receivers";
/** Stands in an event's subject where it is meant for every subscription. */
const everybody = "all";

/** How names map to what NATS has. The only place that knows. */
export class Names {
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** What a client in any language publishes a command to. */
  queueSubject(name: string): string {
    return `${this.#prefix}.queue.${subjectOf(name)}`;
  }

  /** What a client in any language publishes an event to. */
  eventSubject(topic: string, type: string): string {
    return `${this.#prefix}.event.${encoded(topic)}.${everybody}.${subjectOf(type)}`;
  }

  /** An event that only one subscription takes: a dead letter that goes back. */
  returnSubject(topic: string, name: string, type: string): string {
    return `${this.#prefix}.event.${encoded(topic)}.to-${encoded(name)}.${subjectOf(type)}`;
  }

  /** What a consumer of one type filters by. */
  typeFilter(topic: string, type: string): string {
    return `${this.#prefix}.event.${encoded(topic)}.*.${subjectOf(type)}`;
  }

  eventsOf(topic: string): string {
    return `${this.#prefix}.event.${encoded(topic)}.>`;
  }

  /** Whether an event with this subject is meant for that subscription. */
  isFor(subject: string, name: string): boolean {
    const slot = subject.split(".", 4)[3];
    return slot === everybody || slot === `to-${encoded(name)}`;
  }

  /** Whether an event with this subject is of one of these types. */
  isOf(subject: string, types: readonly string[]): boolean {
    const type = subject.split(".").slice(4).join(".");
    return types.some((each) => subjectOf(each) === type);
  }

  queueStream(name: string, temporary: boolean): string {
    return this.#stream(temporary ? "temporary" : "queue", name);
  }

  topicStream(topic: string): string {
    return this.#stream("event", topic);
  }

  place(source: MessageSource, temporary: boolean): Place {
    const address = addressOf(source);
    return source.kind === "queue"
      ? {
          address,
          temporary,
          kind: "queue",
          stream: this.queueStream(source.name, temporary),
          consumer: queueConsumer,
        }
      : {
          address,
          temporary,
          kind: "subscription",
          stream: this.topicStream(source.topic),
          consumer: bounded(encoded(source.name)),
        };
  }

  asideStream(address: string, state: AsideState): string {
    return this.#stream(state, address);
  }

  asideSubject(address: string, state: AsideState, token: string): string {
    return `${this.#prefix}.${state}.${encoded(address)}.${token}`;
  }

  get notesStream(): string {
    return `${this.#prefix}_notes`;
  }

  noteSubject(address: string, sequence: number | "*"): string {
    return `${this.#prefix}.notes.${encoded(address)}.${sequence}`;
  }

  get allNotes(): string {
    return `${this.#prefix}.notes.>`;
  }

  /** One stream for each partition: so offsets count from 0 without a gap, and retention is JetStream's own. */
  partitionStream(stream: string, partition: number): string {
    return this.#stream("stream", `${stream}.${partition}`);
  }

  /** What a client in any language publishes an item to. */
  partitionSubject(stream: string, partition: number): string {
    return `${this.#prefix}.stream.${subjectOf(stream)}.${partition}`;
  }

  get groupsStream(): string {
    return `${this.#prefix}_groups`;
  }

  get allGroups(): string {
    return `${this.#prefix}.groups.>`;
  }

  /** Where records of all groups of a stream stand, or of all streams. */
  groupsOf(stream: string | undefined): string {
    return stream === undefined
      ? this.allGroups
      : `${this.#prefix}.groups.${encoded(stream)}.*.cursor.*`;
  }

  cursorSubject({ stream, group }: GroupName, partition: number | "*"): string {
    return `${this.#prefix}.groups.${encoded(stream)}.${encoded(group)}.cursor.${partition}`;
  }

  /** Of one group: who takes part, and how far each partition is read. */
  recordsOf({ stream, group }: GroupName): string {
    return `${this.#prefix}.groups.${encoded(stream)}.${encoded(group)}.>`;
  }

  memberSubject({ stream, group }: GroupName, member: string): string {
    return `${this.#prefix}.groups.${encoded(stream)}.${encoded(group)}.member.${member}`;
  }

  /** Undefined for what is no cursor. */
  readCursorSubject(subject: string): (GroupName & { readonly partition: number }) | undefined {
    const [, , stream, group, kind, partition] = subject.split(".");
    if (stream === undefined || group === undefined || kind !== "cursor") return undefined;
    return { stream: decoded(stream), group: decoded(group), partition: Number(partition) };
  }

  /** Told when a group's members, places or replays change. No stream has it. */
  signalSubject({ stream, group }: GroupName): string {
    return `${this.#prefix}.signal.${encoded(stream)}.${encoded(group)}`;
  }

  /** Where dead letters of a group lie that were put back, partition by partition. */
  replayStream(address: string): string {
    return this.#stream("replay", address);
  }

  replaySubject(address: string, partition: number | "*", token: string): string {
    return `${this.#prefix}.replay.${encoded(address)}.${partition}.${token}`;
  }

  /** What a stream of ours holds; undefined for one that is not ours, or holds no address. */
  read(stream: string): { readonly kind: string; readonly name: string } | undefined {
    if (!stream.startsWith(`${this.#prefix}_`)) return undefined;
    const rest = stream.slice(this.#prefix.length + 1);
    const end = rest.indexOf("_");
    return end < 0 ? undefined : { kind: rest.slice(0, end), name: decoded(rest.slice(end + 1)) };
  }

  consumerName(consumer: string): string {
    return decoded(consumer);
  }

  #stream(kind: string, name: string): string {
    return bounded(`${this.#prefix}_${kind}_${encoded(name)}`);
  }
}

/** Names of streams and single tokens of subjects take neither dots nor spaces: a dot becomes "_", anything unusual "=" and its bytes in hex. */
function encoded(name: string): string {
  return name.replace(/[^A-Za-z0-9-]/gu, (character) => {
    if (character === ".") return "_";
    return [...Buffer.from(character)].map((byte) => `=${hex(byte)}`).join("");
  });
}

function decoded(text: string): string {
  const bytes: number[] = [];
  for (let index = 0; index < text.length; index++) {
    const character = text.charAt(index);
    if (character === "=") {
      bytes.push(Number.parseInt(text.slice(index + 1, index + 3), 16));
      index += 2;
    } else bytes.push((character === "_" ? "." : character).charCodeAt(0));
  }
  return Buffer.from(bytes).toString("utf8");
}

function hex(byte: number): string {
  return byte.toString(16).toUpperCase().padStart(2, "0");
}

const plainSubject = /^[\w~:@$/+-]+(\.[\w~:@$/+-]+)*$/;

/** A name as it is where NATS can have it as a subject; else as one token that no plain name equals. */
function subjectOf(name: string): string {
  return plainSubject.test(name) ? name : `=${encoded(name)}`;
}

function bounded(name: string): string {
  if (name.length <= nameMax) return name;
  throw new WaybillError(
    "WIRING_INVALID",
    `NATS would call it "${name}", which is longer than ${nameMax} characters. Give it a shorter name.`,
  );
}
