import { type Listener, type Settled, type Settlement, WaybillError } from "@waybill/core";
import type { Budget } from "../storage/budget.ts";
import type { Connection } from "../storage/connection.ts";
import { isRefusal } from "../errors.ts";
import { simpleOperation } from "../queues/lease.ts";
import { leaving } from "../queues/settle.ts";
import { StreamDelivery, type StreamSettler } from "./delivery.ts";
import type { FetchedItem } from "./fetch.ts";
import type { Entry, StreamReader } from "./reader.ts";
import { type GroupLease, StreamSettleOperation, bookProgress, countRunAt } from "./settle.ts";

export interface HandOptions {
  readonly connection: Connection;
  readonly stream: string;
  readonly budget: Budget;
  readonly listener: Listener;
  /** The lease under which it holds partitions. */
  lease(): number | undefined;
  /** The group's address. */
  address(): number | undefined;
  /** There may be room, or something to read again. */
  freed(): void;
}

interface Held {
  readonly reader: StreamReader;
  readonly entry: Entry;
}

/** The partitions that one receiver reads, and what it delivered from them. */
export class StreamHand implements StreamSettler {
  readonly #options: HandOptions;
  readonly #held = new Map<StreamDelivery, Held>();
  #readers: StreamReader[] = [];
  #collecting: StreamSettleOperation | undefined;

  constructor(options: HandOptions) {
    this.#options = options;
  }

  get readers(): readonly StreamReader[] {
    return this.#readers;
  }

  /** What was released and waits to be delivered again. */
  get returnedCount(): number {
    let count = 0;
    for (const reader of this.#readers) if (!reader.leaving) count += reader.returned.length;
    return count;
  }

  /** Another partition first each time, so that a busy one does not starve the others. */
  rotate(): void {
    const first = this.#readers.shift();
    if (first !== undefined) this.#readers.push(first);
  }

  add(readers: readonly StreamReader[]): void {
    this.#readers.push(...readers);
  }

  deliver({ reader, attempt, bytes, envelope, enqueuedAt, position }: FetchedItem): StreamDelivery {
    const item = { envelope, attempt, enqueuedAt, position };
    const delivery = new StreamDelivery(item, this);
    const entry: Entry = { offset: position.offset, attempt, bytes, state: "open", delivery };
    reader.entries.set(position.offset, entry);
    reader.next = position.offset + 1;
    this.#held.set(delivery, { reader, entry });
    this.#options.budget.take(bytes);
    return delivery;
  }

  /** What was released comes again, in its order and as the same attempt. */
  deliverReturned(): StreamDelivery[] {
    const batch: StreamDelivery[] = [];
    for (const reader of this.#readers) {
      if (reader.leaving) continue;
      for (const entry of reader.returned) {
        if (this.#options.budget.room === 0) return batch;
        entry.delivery = new StreamDelivery(entry.delivery, this);
        entry.state = "open";
        this.#held.set(entry.delivery, { reader, entry });
        this.#options.budget.take(entry.bytes);
        batch.push(entry.delivery);
      }
    }
    return batch;
  }

  /** Gives partitions up that are no longer wanted, as soon as no handler has anything of them. */
  giveUp(isUnwanted: (reader: StreamReader) => boolean): void {
    for (const reader of this.#readers.filter(isUnwanted)) {
      reader.leaving = true;
      if (!reader.isBusy) this.#giveUp(reader);
    }
  }

  /** Gives everything up at once; what was not settled counts as attempted. */
  abandon(): void {
    for (const reader of this.#readers) this.#giveUp(reader);
    this.lose();
  }

  /** Everything may be somebody else's by now. */
  lose(): void {
    this.#readers = [];
    this.#lose([...this.#held]);
  }

  /** What these readers had is not theirs any more. */
  drop(readers: readonly StreamReader[]): void {
    for (const reader of readers) reader.lost = true;
    this.#readers = this.#readers.filter(({ lost }) => !lost);
    this.#lose([...this.#held].filter(([, { reader }]) => reader.lost));
  }

  #lose(lost: readonly (readonly [StreamDelivery, Held])[]): void {
    for (const [delivery] of lost) this.#held.delete(delivery);
    for (const [delivery, { entry }] of lost) {
      this.#options.budget.give(entry.bytes);
      delivery.lose();
    }
  }

  #giveUp(reader: StreamReader): void {
    this.#readers = this.#readers.filter((other) => other !== reader);
    const { connection, listener } = this.#options;
    const lease = this.#options.lease();
    const address = this.#options.address();
    if (lease === undefined || address === undefined) return;
    const { partition } = reader;
    const { committed, delivered, attempt } = reader.reached;
    const operation = simpleOperation((transaction) => {
      const { sql, madeReady } = transaction;
      if (reader.lost) return;
      bookProgress(transaction, { address, lease, partition }, committed);
      sql.giveUpCursor.run(committed, delivered, attempt, address, partition, lease);
      madeReady.add(address);
    }, listener);
    connection.writer.submit(operation);
  }

  countRun(delivery: StreamDelivery): Promise<Settled> {
    const held = this.#held.get(delivery);
    if (held === undefined) return Promise.resolve("lockLost");
    const { reader, entry } = held;
    let answer: Settled = "settled";
    const count = (): void => {
      if (answer !== "settled") return;
      entry.attempt += 1;
      delivery.attempt = entry.attempt;
    };
    if (!reader.isFirst(entry)) {
      count();
      return Promise.resolve(answer);
    }
    const group = { ...this.#group(), partition: reader.partition };
    return new Promise((resolve, reject) =>
      this.#options.connection.writer.submit({
        weight: 1,
        bytes: 0,
        run: (transaction) => {
          answer = reader.lost ? "lockLost" : countRunAt(transaction, group, entry);
        },
        done: () => {
          count();
          resolve(answer);
        },
        failed: reject,
      }),
    );
  }

  #group(): GroupLease {
    return { address: this.#options.address() ?? 0, lease: this.#options.lease() ?? 0 };
  }

  settle(delivery: StreamDelivery, settlement: Settlement): Promise<Settled> {
    const held = this.#held.get(delivery);
    if (held === undefined) return Promise.resolve("lockLost");
    switch (settlement.kind) {
      case "retry":
      case "defer":
        return Promise.reject(unsupported(this.#options.stream, settlement.kind));
      case "release":
        this.#forget(delivery, held);
        held.entry.state = "returned";
        this.#options.freed();
        return Promise.resolve("settled");
      default:
        return this.#finish(delivery, held, settlement);
    }
  }

  async #finish(
    delivery: StreamDelivery,
    held: Held,
    settlement: Extract<Settlement, { kind: "complete" | "deadLetter" }>,
  ): Promise<Settled> {
    const { settings } = this.#options.connection;
    const send = leaving(settlement, undefined, settings.bodyBytesMax);
    const failure = settlement.kind === "deadLetter" ? settlement.failure : undefined;
    const { reader, entry } = held;
    this.#forget(delivery, held);
    entry.state = "settling";
    return new Promise((resolve, reject) => {
      const settled = (answer: Settled): void => {
        entry.state = "done";
        reader.settleDown();
        resolve(answer);
        this.#options.freed();
      };
      const failed = (error: WaybillError): void => {
        if (send.length > 0 && isRefusal(error)) {
          this.#takeBack(delivery, held);
          return reject(error);
        }
        // Its position is committed together with that of the next item.
        this.#options.listener.fault(error);
        settled("unknown");
      };
      this.#submit({ reader, entry, failure, send, settled, failed });
    });
  }

  #submit(ending: Parameters<StreamSettleOperation["add"]>[0]): void {
    const { writer } = this.#options.connection;
    const isAlone = ending.send.length > 0 || ending.failure !== undefined;
    if (!isAlone && this.#collecting !== undefined) return this.#collecting.add(ending);
    const operation = new StreamSettleOperation(this.#group(), () => {
      if (this.#collecting === operation) this.#collecting = undefined;
    });
    operation.add(ending);
    if (!isAlone) this.#collecting = operation;
    writer.submit(operation);
  }

  #forget(delivery: StreamDelivery, { entry }: Held): void {
    this.#held.delete(delivery);
    this.#options.budget.give(entry.bytes);
  }

  #takeBack(delivery: StreamDelivery, held: Held): void {
    if (!this.#readers.includes(held.reader)) return delivery.lose();
    held.entry.state = "open";
    this.#held.set(delivery, held);
    this.#options.budget.take(held.entry.bytes);
  }
}

function unsupported(stream: string, kind: string): WaybillError {
  return new WaybillError(
    "NOT_SUPPORTED",
    `An item of the stream "${stream}" cannot be settled with "${kind}": the items behind it would overtake it. Wait in the handler and try again there, or settle it as a dead letter.`,
    { details: { stream, kind } },
  );
}
