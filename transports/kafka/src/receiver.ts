import {
  type Environment,
  type Listener,
  type ReceiveOptions,
  type Receiver,
  type Settled,
  type Settlement,
  sleep,
} from "@waybill/core";
import type { PartitionKey } from "./assignment.ts";
import { Commits } from "./commits.ts";
import type { KafkaDelivery, Settler } from "./delivery.ts";
import { brokerError } from "./errors.ts";
import { type FetchClients, Fetcher } from "./fetcher.ts";
import { Hand } from "./hand.ts";
import { Handing } from "./handing.ts";
import type { Stored } from "./message.ts";
import type { Holder, Placed, Seat } from "./seat.ts";
import type { Origin, Settling } from "./settling.ts";
import { type Entry, Window } from "./window.ts";

export interface ReceiverParts {
  readonly origin: Origin;
  readonly seat: Seat;
  readonly options: ReceiveOptions;
  readonly listener: Listener;
  readonly clients: FetchClients;
  readonly settling: Settling;
  readonly environment: Environment;
  /** How long what is in hand may hold up that its partition moves. */
  readonly handoverMs: number;
  /** Before what was read is judged. */
  readonly look: (records: readonly Stored[]) => Promise<void>;
  /** Whether a record is for this source. */
  readonly isWanted: (entry: Entry) => boolean;
  /** Once, before anything is read: rejects while there is nothing to read from. */
  readonly ready: () => Promise<void>;
  readonly onEnd: (receiver: KafkaReceiver) => void;
}

/** Milliseconds between attempts; and, on a dead line, until nothing more is kept. */
const [retryMs, closeMs] = [500, 700];

/** One of those who share the partitions of a source. */
export class KafkaReceiver implements Receiver, Settler, Holder {
  readonly #parts: ReceiverParts;
  readonly #windows = new Map<PartitionKey, Window>();
  readonly #hand: Hand;
  readonly #commits: Commits;
  readonly #fetcher: Fetcher;
  readonly #handing: Handing;
  #paused = false;
  #stopping: Promise<void> | undefined;
  #ended = false;

  constructor(parts: ReceiverParts) {
    this.#parts = parts;
    this.#hand = new Hand(parts.options);
    this.#commits = new Commits({ ...parts, windows: () => this.#windows.values() });
    this.#handing = new Handing({
      ...parts,
      windows: this.#windows,
      hand: this.#hand,
      commits: this.#commits,
      settler: this,
      isOpen: () => this.#wants,
      isSure: () => this.#isSure(),
      handed: () => this.#fetcher.wake(),
      fault: (error) => this.fault(error),
    });
    this.#fetcher = new Fetcher({
      ...parts,
      windows: () => (this.#wants ? [...this.#windows.values()] : []),
      came: () => this.#handing.pump(),
      fault: (error) => this.fault(error),
    });
    void this.#begin();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    if (!this.#paused || this.#stopping !== undefined) return;
    this.#paused = false;
    this.#handing.pump();
    this.#fetcher.wake();
  }

  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  /** Gives everything back at once, the attempts of what was handed over counted. */
  async close(): Promise<void> {
    await this.stop();
    this.#lose(this.#hand.all());
    const kept = this.#commits.flush().catch(() => undefined);
    await Promise.race([kept, sleep(this.#parts.environment.timers, closeMs)]);
    await this.#end();
  }

  /** Resolves when what ended until now is kept, or somebody else's. */
  flush(): Promise<void> {
    return this.#commits.flush();
  }

  assigned(places: readonly Placed[]): void {
    for (const place of places) {
      const window = new Window(place.key, place, this.#parts.origin.isStream);
      // That the group began here is kept, so that it stays so when the partition moves.
      window.dirty = true;
      this.#windows.set(place.key, window);
      if (this.#stopping !== undefined) void this.#handOver(window);
    }
    this.#keep();
    this.#fetcher.wake();
  }

  sought(places: readonly Placed[]): void {
    const draining = places.filter(({ key }) => this.#windows.get(key)?.draining === true);
    for (const { key } of places) {
      const window = this.#windows.get(key);
      if (window !== undefined) this.#drop(window);
    }
    this.assigned(places);
    this.wanted(draining.map(({ key }) => key));
  }

  wanted(keys: readonly PartitionKey[]): void {
    for (const key of keys) {
      const window = this.#windows.get(key);
      if (window === undefined) this.#parts.seat.release(key);
      else void this.#handOver(window);
    }
  }

  lost(keys: readonly PartitionKey[]): void {
    for (const key of keys) {
      const window = this.#windows.get(key);
      if (window !== undefined) this.#drop(window);
    }
  }

  left(): void {
    void this.#end();
  }

  fault(error: unknown): void {
    if (!this.#ended)
      this.#parts.listener.fault(brokerError(`Receiving from "${this.#address}"`, error));
  }

  async settle(delivery: KafkaDelivery, settlement: Settlement): Promise<Settled> {
    const { entry } = delivery;
    if (!(await this.#isSure())) this.#lose([delivery]);
    if (!this.#hand.has(delivery) || entry.window.lost) return "lockLost";
    const isDone = await this.#parts.settling.carryOut(delivery, settlement, this.#parts.origin);
    // What was stored elsewhere has arrived; that the message itself comes again is a repetition, not a loss.
    if (!this.#hand.has(delivery)) return "lockLost";
    if (isDone) entry.window.finish(entry);
    else entry.window.giveBack(entry);
    this.#hand.letGo(delivery);
    if (isDone) this.#handing.pump();
    const kept = this.#keepEnd(entry.window);
    // Of a stream each item would cost a round; a crash before it repeats the item, as it is said there.
    if (!this.#parts.origin.isStream || !this.#parts.seat.isSure()) await kept;
    else kept.catch((error: unknown) => this.fault(error));
    return entry.window.lost ? "unknown" : "settled";
  }

  async #keepEnd(window: Window): Promise<void> {
    await this.#commits.flush();
    this.#releaseIfEmpty(window);
    this.#handing.pump();
  }

  async countRun(delivery: KafkaDelivery): Promise<number | undefined> {
    const { entry } = delivery;
    if (!this.#hand.has(delivery) || entry.window.lost) return undefined;
    const before = entry.window.count(entry);
    await this.#commits.flush();
    return this.#hand.has(delivery) ? before + 1 : undefined;
  }

  get #address(): string {
    return this.#parts.origin.address;
  }

  get #wants(): boolean {
    return !this.#paused && this.#stopping === undefined;
  }

  async #begin(): Promise<void> {
    await this.#insist(this.#parts.ready);
    if (this.#stopping === undefined) this.#parts.seat.begin(this);
  }

  /** It costs a question when the last answer is old. */
  async #isSure(): Promise<boolean> {
    return this.#parts.seat.isSure() || this.#parts.seat.confirm();
  }

  #keep(): void {
    this.#commits.flush().catch((error: unknown) => this.fault(error));
  }

  async #insist(attempt: () => Promise<void>): Promise<void> {
    while (!this.#ended)
      try {
        return await attempt();
      } catch (error) {
        this.fault(error);
        await sleep(this.#parts.environment.timers, retryMs);
      }
  }

  /** Nothing more is taken from it; what is in hand may be settled for a while. */
  async #handOver(window: Window): Promise<void> {
    if (window.draining) return;
    window.draining = true;
    const { environment, handoverMs } = this.#parts;
    await this.#handing.pumping;
    await this.#commits.flush().catch((error: unknown) => this.fault(error));
    this.#releaseIfEmpty(window);
    if (window.lost || !this.#windows.has(window.key)) return;
    environment.timers.set(() => {
      if (this.#windows.get(window.key) !== window) return;
      this.#drop(window);
      this.#parts.seat.release(window.key);
    }, handoverMs);
  }

  #releaseIfEmpty(window: Window): void {
    if (!window.draining || window.held > 0 || window.dirty) return;
    if (this.#windows.get(window.key) !== window) return;
    this.#windows.delete(window.key);
    this.#parts.seat.release(window.key);
  }

  #drop(window: Window): void {
    window.lost = true;
    this.#windows.delete(window.key);
    this.#lose(this.#hand.of(window));
  }

  #lose(deliveries: readonly KafkaDelivery[]): void {
    for (const delivery of deliveries) if (this.#hand.letGo(delivery)) delivery.lose();
    this.#handing.pump();
  }

  async #stop(): Promise<void> {
    this.#fetcher.end();
    await this.#handing.pumping;
    for (const window of this.#windows.values()) void this.#handOver(window);
    this.#parts.seat.leave();
  }

  async #end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#fetcher.end();
    await this.#parts.seat.close().catch(() => undefined);
    const { reading, waiting } = this.#parts.clients;
    await Promise.all([reading, waiting].map((each) => each.close().catch(() => undefined)));
    this.#parts.onEnd(this);
  }
}
