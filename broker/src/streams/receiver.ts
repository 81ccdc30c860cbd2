import {
  addressOf,
  type Listener,
  type ReceiveOptions,
  type Receiver,
  type Source,
  type WaybillError,
} from "@waybill/core";
import { Budget, type Plan } from "../storage/budget.ts";
import type { Connection } from "../storage/connection.ts";
import { Lease, simpleOperation } from "../queues/lease.ts";
import { QueueReceiver } from "../queues/receiver.ts";
import { type Fetched, type Fetcher, FetchOperation } from "./fetch.ts";
import { StreamHand } from "./hand.ts";
import { placeOf } from "./places.ts";
import type { StreamReader } from "./reader.ts";
import { type GroupStart, isUnfair, lostBy } from "./share.ts";
import type { Transaction } from "../storage/transaction.ts";
import type { Waiter } from "../processes/wake.ts";

export interface StreamReception {
  readonly source: Extract<Source, { kind: "stream" }>;
  readonly options: ReceiveOptions;
  readonly listener: Listener;
  /** Called when it was stopped and holds nothing any more. */
  readonly ended: () => void;
}

/** Most items of one read: bounds the transaction. */
const fetchMax = 256;

/** One member of a stream's group: reads the partitions of its share in order, and what was replayed to the group. */
export class StreamReceiver implements Receiver, Waiter, Fetcher {
  readonly lease: Lease;
  readonly group: GroupStart;
  readonly hand: StreamHand;
  readonly #connection: Connection;
  readonly #listener: Listener;
  readonly #budget: Budget;
  readonly #replays: QueueReceiver;
  readonly #ended: () => void;
  #address: number | undefined;
  #drained = false;
  #fetching = false;
  #paused = false;
  #state: "running" | "stopped" | "ended" = "running";
  /** The members of the group, or their partitions, may have changed. */
  sharesAgain = true;

  constructor(connection: Connection, { source, options, listener, ended }: StreamReception) {
    this.#connection = connection;
    this.#listener = listener;
    this.#ended = ended;
    this.#budget = new Budget(options);
    this.#budget.onFreed(() => this.#fetch());
    this.group = {
      stream: source.name,
      name: addressOf(source),
      start: options.start ?? "earliest",
    };
    this.lease = new Lease(connection, options.lockMs, {
      counts: true,
      holds: () => this.#state !== "ended",
      lost: () => this.#lost(),
      fault: (error) => listener.fault(error),
    });
    this.hand = new StreamHand({
      connection,
      stream: source.name,
      budget: this.#budget,
      listener,
      lease: () => this.lease.id,
      address: () => this.#address,
      freed: () => this.#freed(),
    });
    this.#replays = new QueueReceiver(
      connection,
      { source, options, listener, ended: () => this.#endWhenEmpty() },
      { budget: this.#budget, registers: false },
    );
  }

  /** Reads nothing: paused here, or for all. */
  get #rests(): boolean {
    const { addresses } = this.#connection;
    return this.#paused || addresses.find("stream", this.group.name)?.paused !== undefined;
  }

  get isStopped(): boolean {
    return this.#state !== "running";
  }

  /** Leaves room for what was returned and for what is being replayed: both share the budget and come first. */
  plan(): Plan {
    if (this.#rests || this.isStopped || this.#replays.isClaiming) return this.#budget.plan(0);
    const free = this.#budget.room - this.hand.returnedCount;
    return this.#budget.plan(Math.min(fetchMax, Math.max(0, free)));
  }

  concerns({ madeReady, appended, addresses }: Transaction): boolean {
    if (this.#address !== undefined && madeReady.has(this.#address)) return true;
    return !this.#rests && appended.has(addresses.stream(this.group.stream)?.id ?? 0);
  }

  isIdle(): boolean {
    return (this.#drained || this.#rests) && !this.#fetching && !this.isStopped;
  }

  hasWork(): boolean {
    const { sql } = this.#connection;
    if (this.#address === undefined) return true;
    if (isUnfair(sql, this.#address, this.lease.id) || this.#lostSome().length > 0) return true;
    if (this.#rests) return false;
    if (this.#replays.hasWork()) return true;
    return this.hand.readers.some(
      ({ partition, next }) =>
        sql.anyItem.get(placeOf(partition, next), placeOf(partition + 1, 0)) !== undefined,
    );
  }

  signal(): void {
    // One that has stopped fetches no more, and its handlers are to hear of it all the same.
    if (this.isStopped) return this.#dropLost();
    this.#drained = false;
    this.sharesAgain = true;
    this.#replays.signal();
    this.#fetch();
  }

  /** A fetch was committed. */
  fetched(fetched: Fetched): void {
    const { grant, address, acquired, surplus, lost, items, drained, blocked } = fetched;
    this.#fetching = false;
    if (address !== undefined) {
      this.#address = address;
      // What was taken away may be free for whoever asks.
      this.sharesAgain = lost.length > 0;
    }
    if (grant !== undefined) this.lease.adopt(grant);
    this.hand.drop(lost);
    this.hand.add(acquired);
    this.#drained = drained;
    const returned = this.#rests || this.#replays.isClaiming ? [] : this.hand.deliverReturned();
    const batch = [...returned, ...items.map((item) => this.hand.deliver(item))];
    if (blocked) this.#budget.block();
    if (batch.length > 0) this.#listener.deliver(batch);
    this.hand.giveUp((reader) => reader.leaving || surplus.includes(reader.partition));
    this.#fetch();
  }

  fetchFailed(error: WaybillError): void {
    this.#fetching = false;
    // The next signal or poll tries again; at once would be a loop without a pause.
    this.#drained = true;
    this.#listener.fault(error);
  }

  async stop(): Promise<void> {
    if (this.isStopped) return;
    this.#state = "stopped";
    await this.#replays.stop();
    const { id } = this.lease;
    const address = this.#address;
    if (id !== undefined && address !== undefined) {
      const leave = ({ sql, madeReady }: Transaction): void => {
        sql.leaveGroup.run(id);
        madeReady.add(address);
      };
      this.#connection.writer.submit(simpleOperation(leave, this));
    }
    this.hand.giveUp(() => true);
    this.#endWhenEmpty();
  }

  pause(): void {
    this.#paused = true;
    this.#replays.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#replays.resume();
    this.signal();
  }

  fault(error: WaybillError): void {
    this.#listener.fault(error);
  }

  /** Opens what was delivered and never settled, for others; its attempts count, for its handler may have run. */
  abandonAll(): void {
    this.#replays.abandonAll();
    this.hand.abandon();
    this.#endWhenEmpty();
  }

  #fetch(): void {
    if (this.#fetching || this.isStopped) return;
    const mayRead = !this.#drained && !this.#rests && this.#budget.room > 0;
    if (!mayRead && !this.sharesAgain) return;
    this.#fetching = true;
    this.#connection.writer.submit(new FetchOperation(this), "last");
  }

  /** Something was settled or given back. */
  #freed(): void {
    this.#drained &&= !this.hand.readers.some(
      ({ entries, isSuspect }) =>
        isSuspect ||
        entries.size === 0 ||
        [...entries.values()].some(({ state }) => state === "returned"),
    );
    this.hand.giveUp(({ leaving }) => leaving);
    this.#fetch();
    this.#endWhenEmpty();
  }

  #lostSome(): readonly StreamReader[] {
    const { id } = this.lease;
    const { readers } = this.hand;
    if (id === undefined || this.#address === undefined || readers.length === 0) return [];
    const held = new Set(readers.map(({ partition }) => partition));
    const lost = lostBy(this.#connection.sql, { address: this.#address, lease: id, held });
    return readers.filter(({ partition }) => lost.includes(partition));
  }

  #dropLost(): void {
    this.hand.drop(this.#lostSome());
    this.#endWhenEmpty();
  }

  #lost(): void {
    this.sharesAgain = true;
    this.hand.lose();
    this.#fetch();
    this.#endWhenEmpty();
  }

  #endWhenEmpty(): void {
    if (this.#state !== "stopped" || this.hand.readers.length > 0 || !this.#replays.hasEnded)
      return;
    this.#state = "ended";
    this.lease.close();
    this.#connection.wake.remove(this);
    this.#ended();
  }
}
