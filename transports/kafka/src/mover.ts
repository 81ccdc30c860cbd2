import { type ReceiveOptions, type Timer, sleep } from "@waybill/core";
import type { Aside } from "./aside.ts";
import type { PartitionKey } from "./assignment.ts";
import { KafkaClient } from "./client.ts";
import { Commits } from "./commits.ts";
import { type FetchClients, Fetcher } from "./fetcher.ts";
import { GroupSeat } from "./group-seat.ts";
import { timingOf } from "./options.ts";
import { readMessage } from "./message.ts";
import type { Parcel, Publisher } from "./publisher.ts";
import type { Holder, Placed } from "./seat.ts";
import type { TopicParts } from "./topics.ts";
import type { Names } from "./topology.ts";
import { type Entry, Window } from "./window.ts";

export interface MoverParts extends TopicParts {
  readonly names: Names;
  readonly publisher: Publisher;
  readonly aside: Aside;
  /** Of the groups alone. */
  readonly groups: KafkaClient;
  readonly fault: (error: unknown) => void;
  readonly next: {
    /** When a message leaves its partition. */
    readonly untilOf: (entry: Entry) => number;
    readonly onward: (entry: Entry, now: number) => Parcel | undefined;
  };
}

export interface Mover {
  close(): Promise<void>;
}

interface Waiting {
  readonly until: number;
  readonly entry: Entry;
}

/** In memory of each partition: the rest waits with Kafka. */
const heldMax = 5_000;
const bytesMax = 8 * 1024 * 1024;
const options: ReceiveOptions = { prefetch: heldMax, prefetchBytes: bytesMax, lockMs: 0 };
const retryMs = 500;
/** On a dead line nothing more is kept; it is moved on twice then. */
const closeMs = 700;
/** A timer is set for no longer than this. */
const restMs = 60_000;
const moveMax = 500;

/** Takes part in moving on what waits. */
export function startMover(parts: MoverParts): Mover {
  return new GroupMover(parts);
}

class GroupMover implements Mover, Holder {
  readonly #parts: MoverParts;
  readonly #clients: FetchClients;
  readonly #seat: GroupSeat;
  readonly #commits: Commits;
  readonly #fetcher: Fetcher;
  readonly #windows = new Map<PartitionKey, Window>();
  #waiting: Waiting[] = [];
  #timer: Timer | undefined;
  #moving: Promise<void> | undefined;
  #ended = false;

  constructor(parts: MoverParts) {
    this.#parts = parts;
    const { settings, environment, names, groups } = parts;
    const client = (): KafkaClient => new KafkaClient(settings, environment, { name: "delays" });
    this.#clients = { reading: client(), waiting: client() };
    const group = names.delaysTopic;
    this.#seat = new GroupSeat({
      settings,
      environment,
      client: groups,
      group,
      topics: [names.delaysTopic],
      timing: timingOf(settings),
      member: settings.member,
      start: "earliest",
      isOurs: () => true,
    });
    this.#commits = new Commits({ seat: this.#seat, windows: () => this.#windows.values() });
    this.#fetcher = new Fetcher({
      clients: this.#clients,
      environment,
      options,
      windows: () => [...this.#windows.values()],
      look: () => Promise.resolve(),
      came: () => this.#look(),
      fault: (error) => this.fault(error),
    });
    this.#seat.begin(this);
  }

  async close(): Promise<void> {
    this.#ended = true;
    this.#timer?.cancel();
    this.#fetcher.end();
    const last = async (): Promise<void> => {
      await this.#moving;
      await this.#commits.flush();
    };
    const { timers } = this.#parts.environment;
    await Promise.race([last().catch(() => undefined), sleep(timers, closeMs)]);
    await this.#seat.close();
    const { reading, waiting } = this.#clients;
    await Promise.all([reading, waiting].map((each) => each.close().catch(() => undefined)));
  }

  assigned(places: readonly Placed[]): void {
    for (const place of places) this.#windows.set(place.key, new Window(place.key, place));
    this.#fetcher.wake();
  }

  /** Nobody seeks there. */
  sought(): void {}

  wanted(keys: readonly PartitionKey[]): void {
    void this.#giveUp(keys).catch((error: unknown) => this.fault(error));
  }

  lost(keys: readonly PartitionKey[]): void {
    for (const key of keys) {
      const window = this.#windows.get(key);
      if (window !== undefined) window.lost = true;
      this.#windows.delete(key);
    }
    this.#waiting = this.#waiting.filter(({ entry }) => !entry.window.lost);
  }

  left(): void {}

  fault(error: unknown): void {
    if (!this.#ended) this.#parts.fault(error);
  }

  async #giveUp(keys: readonly PartitionKey[]): Promise<void> {
    for (const key of keys) {
      const window = this.#windows.get(key);
      if (window !== undefined) window.draining = true;
    }
    this.#waiting = this.#waiting.filter(({ entry }) => !entry.window.draining);
    await this.#moving;
    await this.#commits.flush();
    for (const key of keys) {
      this.#windows.delete(key);
      this.#seat.release(key);
    }
  }

  #look(): void {
    for (const window of this.#windows.values()) {
      let bytes = 0;
      while (window.held < heldMax && bytes < bytesMax && !window.draining) {
        const entry = window.peek();
        if (entry === undefined) break;
        window.take();
        bytes += entry.bytes;
        this.#waiting.push({ until: this.#parts.next.untilOf(entry), entry });
      }
    }
    this.#waiting.sort((one, other) => one.until - other.until);
    this.#moving ??= this.#moveAll();
  }

  async #moveAll(): Promise<void> {
    let pauseMs = 0;
    try {
      await this.#moveDue();
    } catch (error) {
      this.fault(error);
      pauseMs = retryMs;
    }
    this.#moving = undefined;
    this.#fetcher.wake();
    this.#rest(pauseMs);
  }

  #rest(pauseMs: number): void {
    this.#timer?.cancel();
    const [first] = this.#waiting;
    if (this.#ended || first === undefined) return;
    const { clock, timers } = this.#parts.environment;
    const leastMs = this.#seat.isSure() ? pauseMs : retryMs;
    const ms = Math.min(restMs, Math.max(leastMs, first.until - clock.now()));
    this.#timer = timers.set(() => this.#look(), Math.ceil(ms));
  }

  async #moveDue(): Promise<void> {
    const now = (): number => this.#parts.environment.clock.now();
    while (!this.#ended && (this.#waiting[0]?.until ?? Number.POSITIVE_INFINITY) <= now()) {
      // Who is not sure to have them leaves them to whoever has.
      if (!this.#seat.isSure()) return;
      const end = this.#waiting.findIndex(({ until }) => until > now());
      const due = this.#waiting.splice(0, Math.min(end < 0 ? moveMax : end, moveMax));
      try {
        await this.#move(due.map(({ entry }) => entry));
      } catch (error) {
        this.#waiting.unshift(
          ...due.filter(({ entry: { window } }) => !window.lost && !window.draining),
        );
        throw error;
      }
    }
  }

  /** What is to be moved is stored there before it is done here. */
  async #move(entries: readonly Entry[]): Promise<void> {
    const { publisher, next, environment } = this.#parts;
    const now = environment.clock.now();
    const parcels = new Map<Parcel, Entry>();
    for (const entry of entries) {
      const parcel = next.onward(entry, now);
      if (parcel !== undefined) parcels.set(parcel, entry);
    }
    for (const lost of await publisher.send([...parcels.keys()])) {
      const entry = parcels.get(lost);
      if (entry !== undefined) await this.#layAside(entry, lost.topic);
    }
    for (const entry of entries) entry.window.finish(entry);
    await this.#commits.flush();
  }

  /** Its queue was deleted meanwhile. */
  async #layAside({ stored }: Entry, topic: string): Promise<void> {
    const { names, aside, environment } = this.#parts;
    const { envelope, attempts, enqueuedAt } = readMessage(stored);
    const at = environment.clock.now();
    const failure = {
      reason: "UNROUTABLE",
      message: `"${topic}" was deleted while the message waited for its time.`,
      service: "",
      handler: "",
      attempts,
      firstFailedAt: at,
      lastFailedAt: at,
    };
    const address = names.read(topic)?.name ?? topic;
    const token = environment.id();
    const extras = { attempts, failure, enqueuedAt };
    await aside.lay({ address, state: "dead", token, envelope, extras });
  }
}
