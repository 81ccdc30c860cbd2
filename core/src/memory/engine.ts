import { WaybillError } from "../errors.ts";
import type { AddressSettings, Destination, Outgoing, Source } from "../ports/transport.ts";
import { ownCopy } from "./delivery.ts";
import { Group } from "./group.ts";
import type { Kernel } from "./kernel.ts";
import type { Log } from "./log.ts";
import type { Mailbox } from "./mailbox.ts";
import { type Parcel, Posted } from "./message.ts";
import { Owners } from "./owners.ts";
import type { Supply } from "./receiver.ts";
import { Novel } from "./remembered.ts";
import { Forwards, type Passage } from "./forwards.ts";
import type { Place, Topic } from "./topic.ts";

/** What of a batch its sender is told about. */
export interface Noted {
  /** Events that nobody subscribes to. */
  readonly unrouted: readonly Outgoing[];
  /** Not stored, because their destination remembers them. */
  readonly duplicates: readonly Outgoing[];
}

/** The broker: what exists by name, and how a batch gets there. Every call is done when it returns. */
export class Engine {
  readonly kernel: Kernel;
  readonly owners: Owners = new Owners();
  readonly queues: Map<string, Mailbox> = new Map();
  readonly topics: Map<string, Topic> = new Map();
  readonly streams: Map<string, Log> = new Map();
  readonly forwards: Forwards;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.forwards = new Forwards(this);
  }

  *addresses(): Generator<Mailbox | Topic | Group, void, void> {
    yield* this.queues.values();
    for (const topic of this.topics.values()) {
      yield topic;
      yield* topic.subscriptions.values();
    }
    for (const log of this.streams.values()) yield* log.groups.values();
  }

  settings(): readonly AddressSettings[] {
    return Array.from(this.addresses(), (each) => ({
      address: each.address,
      kind: each.kind,
      ...each.set(),
    }));
  }

  /** Stores the whole batch or throws and stores nothing. `credit` is a body that is freed at the same moment. */
  send(batch: readonly Outgoing[], credit = 0): Noted {
    const now = this.kernel.now();
    const only = batch.length === 1 ? batch[0] : undefined;
    const queue = only === undefined ? undefined : this.#plainQueue(only.to);
    if (only !== undefined && queue !== undefined) {
      const parcel = this.parcel(only, now);
      this.#assertFits(parcel.bytes - credit, 1);
      queue.put(parcel);
      return nothing;
    }
    const stored: { parcel: Parcel; places: readonly Place[]; topic: Topic | undefined }[] = [];
    const noted = { unrouted: [] as Outgoing[], duplicates: [] as Outgoing[] };
    const novel = new Novel(now);
    const passage = { novel, noted, now, hops: 0 };
    let bytes = -credit;
    let copies = 0;
    for (const outgoing of batch) {
      const parcel = this.parcel(outgoing, now);
      const key = novel.note(this.remembering(outgoing.to)?.remembered, outgoing);
      if (key === undefined) {
        noted.duplicates.push(outgoing);
        continue;
      }
      const places = this.#placesOf(outgoing, passage);
      let topic = outgoing.to.kind === "topic" ? this.topics.get(outgoing.to.name) : undefined;
      if (topic !== undefined && places[0] === topic) {
        noted.unrouted.push(outgoing);
        topic = undefined;
      }
      stored.push({ parcel, places, topic });
      bytes += parcel.bytes * places.length + key.length;
      copies += places.length + (key === "" ? 0 : 1);
    }
    this.#assertFits(bytes, copies);
    novel.remember();
    for (const { parcel, places, topic } of stored) {
      for (const place of places) place.put(parcel);
      topic?.passed(parcel.envelope.header.type, places.length);
    }
    for (const { to, envelope } of noted.duplicates)
      this.remembering(to)?.duplicate(envelope.header.type);
    return noted;
  }

  /** Throws NOT_FOUND for what was never declared. A group of a stream comes to be when it is first read. */
  supply(source: Source, start: "earliest" | "latest"): Supply {
    switch (source.kind) {
      case "queue":
        return this.queues.get(source.name) ?? notFound(`The queue "${source.name}"`);
      case "subscription":
        return (
          this.topics.get(source.topic)?.subscriptions.get(source.name) ??
          notFound(`The subscription "${source.name}" of the topic "${source.topic}"`)
        );
      case "stream": {
        const log = this.streams.get(source.name) ?? notFound(`The stream "${source.name}"`);
        const known = log.groups.get(source.group);
        if (known !== undefined) return known;
        const group = new Group(log, source.group, { kernel: this.kernel, start });
        log.groups.set(source.group, group);
        return group;
      }
    }
  }

  /** A queue that remembers nothing and does not forward: what is sent to it is neither a duplicate nor goes on. */
  #plainQueue({ kind, name }: Destination): Mailbox | undefined {
    const queue = kind === "queue" ? this.queues.get(name) : undefined;
    return queue?.remembered.windowMs === 0 && queue.stock.settings.forwardsTo === undefined
      ? queue
      : undefined;
  }

  #placesOf(outgoing: Outgoing, passage: Passage): readonly Place[] {
    const { to, envelope, notBefore = 0 } = outgoing;
    const isLater = notBefore > passage.now;
    switch (to.kind) {
      case "queue": {
        const queue = this.queues.get(to.name) ?? unroutable(to);
        return isLater ? queue.alone : this.forwards.places(queue, outgoing, passage);
      }
      case "topic": {
        const topic = this.topics.get(to.name) ?? unroutable(to);
        const routes = topic.route(envelope.header);
        return routes === undefined ? [topic] : this.forwards.copies(routes, outgoing, passage);
      }
      case "stream":
        return [this.streams.get(to.name) ?? unroutable(to)];
    }
  }

  remembering({ kind, name }: Destination): Mailbox | Topic | undefined {
    if (kind === "stream") return undefined;
    return (kind === "queue" ? this.queues : this.topics).get(name);
  }

  /** Throws BODY_TOO_LARGE, NOT_SUPPORTED or OPTION_INVALID. */
  parcel(outgoing: Omit<Outgoing, "to"> & { readonly to?: Destination }, now: number): Parcel {
    const { envelope, notBefore = 0, notAfter = Infinity, discardExpired = false } = outgoing;
    const bytes = Buffer.byteLength(envelope.body);
    const { bodyBytesMax } = this.kernel.limits;
    if (bytes > bodyBytesMax) {
      throw new WaybillError(
        "BODY_TOO_LARGE",
        `The body of "${envelope.header.type}" (${envelope.header.id}) has ${bytes} bytes; the in-memory broker takes ${bodyBytesMax}. ` +
          "Send a reference to the data instead, or raise bodyBytesMax in memory({ bodyBytesMax }).",
        { details: { bytes, bodyBytesMax } },
      );
    }
    if (outgoing.notBefore !== undefined || outgoing.notAfter !== undefined) assertTimes(outgoing);
    return new Posted(ownCopy(envelope), {
      bytes,
      enqueuedAt: now,
      notBefore,
      notAfter,
      discardExpired,
    });
  }

  #assertFits(bytes: number, copies: number): void {
    if (this.kernel.fits(bytes, copies)) return;
    for (const log of this.streams.values()) log.trim();
    const now = this.kernel.now();
    for (const { remembered } of [...this.queues.values(), ...this.topics.values()])
      remembered.trim(now);
    if (!this.kernel.fits(bytes, copies)) throw this.kernel.fullError();
  }
}

const nothing: Noted = { unrouted: [], duplicates: [] };

function assertTimes({
  to,
  notBefore = 0,
  notAfter = Infinity,
}: Pick<Outgoing, "notBefore" | "notAfter"> & { readonly to?: Destination }): void {
  if (to?.kind === "stream") {
    throw new WaybillError(
      "NOT_SUPPORTED",
      `A message for the stream "${to.name}" carries notBefore or notAfter, and a stream keeps the order of appending. Send it to a queue or a topic instead.`,
    );
  }
  if (Number.isNaN(notBefore) || Number.isNaN(notAfter) || notBefore === Infinity) {
    throw new WaybillError(
      "OPTION_INVALID",
      "notBefore and notAfter are milliseconds since 1970. Give a number, or leave them out.",
    );
  }
}

function unroutable(to: Destination): never {
  throw new WaybillError(
    "UNROUTABLE",
    `There is no ${to.kind} "${to.name}" on the in-memory broker, so the batch was not sent. Connect the service that handles it first, or declare it.`,
    { details: { kind: to.kind, name: to.name } },
  );
}

function notFound(what: string): never {
  throw new WaybillError(
    "NOT_FOUND",
    `${what} does not exist on the in-memory broker. Declare it before receiving from it.`,
  );
}
