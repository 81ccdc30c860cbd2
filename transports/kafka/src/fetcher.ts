import type { Broker } from "@platformatic/kafka";
import type { Environment, ReceiveOptions, Timer } from "@waybill/core";
import { type Partition, partitionOf } from "./assignment.ts";
import type { KafkaClient, TopicInfo } from "./client.ts";
import { type Fetched, type Wanted, fetchFrom } from "./fetching.ts";
import type { Stored } from "./message.ts";
import { earliest, listOffsets, noLeader } from "./offsets.ts";
import type { Window } from "./window.ts";

/** Kafka answers one request of a connection after the other: what waits has a client of its own. */
export interface FetchClients {
  /** For partitions of which more is there. */
  readonly reading: KafkaClient;
  /** For those whose end was reached: waits on the broker until something comes. */
  readonly waiting: KafkaClient;
}

export interface FetcherParts {
  readonly clients: FetchClients;
  readonly environment: Environment;
  readonly options: ReceiveOptions;
  /** From which is to be read. */
  readonly windows: () => readonly Window[];
  /** Before it is taken up. */
  readonly look: (records: readonly Stored[]) => Promise<void>;
  /** Something came. */
  readonly came: () => void;
  readonly fault: (error: unknown) => void;
}

type Mode = keyof FetchClients;

interface Asking extends Wanted {
  readonly window: Window;
}

/** Short after something came, so that a partition whose end was reached meanwhile is soon waited for as well. */
const [waitMsMin, waitMsMax] = [100, 500];
const [partitionBytesMin, partitionBytesMax] = [64 * 1024, 1024 * 1024];
/** Not longer: for so long nothing comes although the brokers are back. */
const [pauseMs, pauseMsMax] = [100, 1_000];

/** Reads on where there is room: what is there at once, what comes as soon as it comes. */
export class Fetcher {
  readonly #parts: FetcherParts;
  readonly #running = new Set<Mode>();
  readonly #timers = new Map<Mode, Timer>();
  #waitMs = waitMsMin;
  #failed = 0;
  #ended = false;

  constructor(parts: FetcherParts) {
    this.#parts = parts;
  }

  /** Some partition may have room. */
  wake(): void {
    for (const mode of ["reading", "waiting"] as const)
      if (!this.#ended && !this.#running.has(mode) && this.#wanting(mode).length > 0)
        void this.#run(mode);
  }

  end(): void {
    this.#ended = true;
    for (const timer of this.#timers.values()) timer.cancel();
  }

  async #run(mode: Mode): Promise<void> {
    this.#running.add(mode);
    for (;;) {
      const windows = this.#wanting(mode);
      if (windows.length === 0 || this.#ended) break;
      await this.#round(mode, windows);
      // What this one has done with is the other's now.
      this.wake();
    }
    this.#running.delete(mode);
  }

  #wanting(mode: Mode): readonly Window[] {
    return this.#parts
      .windows()
      .filter((each) => each.isCaughtUp === (mode === "waiting") && this.#hasRoom(each));
  }

  #hasRoom({ draining, lost, waiting, waitingBytes }: Window): boolean {
    const isFull = waiting >= this.#parts.options.prefetch || waitingBytes >= partitionBytesMax;
    return !draining && !lost && !isFull;
  }

  async #round(mode: Mode, windows: readonly Window[]): Promise<void> {
    try {
      const asked = await this.#byLeader(mode, windows);
      const came = await Promise.all(
        [...asked].map(([leader, askings]) => this.#fetch(mode, leader, askings)),
      );
      this.#failed = 0;
      const something = came.includes(true);
      if (mode === "waiting")
        this.#waitMs = something ? waitMsMin : Math.min(waitMsMax, this.#waitMs * 2);
      if (something) this.#parts.came();
    } catch (error) {
      if (this.#ended) return;
      for (const { key } of windows) this.#parts.clients[mode].forget(partitionOf(key).topic);
      this.#parts.fault(error);
      await this.#pause(mode);
    }
  }

  async #byLeader(
    mode: Mode,
    windows: readonly Window[],
  ): Promise<ReadonlyMap<Broker, readonly Asking[]>> {
    const topics = new Map<string, TopicInfo | undefined>();
    const leaders = new Map<string, Broker>();
    const asked = new Map<Broker, Asking[]>();
    for (const window of windows) {
      const { topic: name, partition } = partitionOf(window.key);
      if (!topics.has(name)) topics.set(name, await this.#parts.clients[mode].topic(name));
      const topic = topics.get(name);
      const leader = topic?.leaders[partition];
      if (topic === undefined || leader === undefined) throw noLeader({ topic: name, partition });
      const id = `${leader.host}:${leader.port}`;
      const known = leaders.get(id) ?? leader;
      leaders.set(id, known);
      const asking = { window, topic, partition, offset: BigInt(window.next) };
      asked.set(known, [...(asked.get(known) ?? []), asking]);
    }
    return asked;
  }

  /** Answers whether anything came. */
  async #fetch(mode: Mode, leader: Broker, askings: readonly Asking[]): Promise<boolean> {
    const share = Math.floor(this.#parts.options.prefetchBytes / askings.length);
    const partitionBytes = Math.min(partitionBytesMax, Math.max(partitionBytesMin, share));
    const limits = { waitMs: mode === "waiting" ? this.#waitMs : 0, partitionBytes };
    const fetched = await fetchFrom(this.#parts.clients[mode], leader, { wanted: askings, limits });
    let came = false;
    for (const each of fetched) {
      const asking = askings.find(
        ({ topic, partition }) => topic.name === each.topic && partition === each.partition,
      );
      if (asking !== undefined) came = (await this.#take(asking.window, each)) || came;
    }
    return came;
  }

  async #take(window: Window, fetched: Fetched): Promise<boolean> {
    const { topic, partition, error, records, next, end } = fetched;
    if (error === "OFFSET_OUT_OF_RANGE") {
      // Retention, a purge, or a topic that was made anew.
      const wanted = { at: earliest, partitions: [partition] };
      const first = (await listOffsets(this.#parts.clients.reading, topic, wanted)).get(partition);
      window.skipTo(first ?? 0);
      return true;
    }
    if (error !== "NONE") throw refused(fetched);
    await this.#parts.look(records);
    if (window.lost || window.draining) return false;
    const hasMoved = Number(next) > window.next;
    window.add(records, Number(next));
    window.isCaughtUp = window.next >= Number(end);
    return hasMoved;
  }

  #pause(mode: Mode): Promise<void> {
    const { environment } = this.#parts;
    const jitter = 0.5 + environment.random();
    const ms = Math.min(pauseMs * 2 ** this.#failed++, pauseMsMax) * jitter;
    return new Promise((resolve) => {
      this.#timers.set(mode, environment.timers.set(resolve, ms));
    });
  }
}

function refused({ topic, partition, error }: Partition & Pick<Fetched, "error">): Error {
  return new Error(`partition ${partition} of the topic "${topic}" answers ${error}`);
}
