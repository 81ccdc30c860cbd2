import type { Failure, Settled, WaybillError } from "@waybill/core";
import { type Encoded, encodeFailure, encodeHeader } from "../storage/codec.ts";
import { placeOf } from "./places.ts";
import { refuseUnroutable, store } from "../queues/send.ts";
import type { Entry, StreamReader } from "./reader.ts";
import type { Transaction } from "../storage/transaction.ts";
import type { Operation } from "../storage/writer.ts";

/** One item that ended. */
export interface StreamEnding {
  readonly reader: StreamReader;
  readonly entry: Entry;
  /** Why a copy goes to the dead letters. */
  readonly failure: Failure | undefined;
  /** What leaves with it. */
  readonly send: readonly Encoded[];
  readonly settled: (settled: Settled) => void;
  readonly failed: (error: WaybillError) => void;
}

export interface GroupLease {
  readonly address: number;
  readonly lease: number;
}

/** Ends items of one group and commits how far it has come; plain ones of one turn together, because a position moves over many with one write. */
export class StreamSettleOperation implements Operation {
  readonly #group: GroupLease;
  readonly #endings: StreamEnding[] = [];
  readonly #begins: () => void;
  #lost = new Set<StreamReader>();

  /** `begins` is called when it runs: after that nothing can be added. */
  constructor(group: GroupLease, begins: () => void) {
    this.#group = group;
    this.#begins = begins;
  }

  get weight(): number {
    return 1;
  }

  get bytes(): number {
    return 0;
  }

  add(ending: StreamEnding): void {
    this.#endings.push(ending);
  }

  run(transaction: Transaction): void {
    this.#begins();
    this.#lost = new Set();
    for (const { send } of this.#endings) refuseUnroutable(transaction, send);
    for (const [reader, ended] of byReader(this.#endings)) this.#commit(transaction, reader, ended);
    for (const ending of this.#endings)
      if (!this.#lost.has(ending.reader)) this.#leave(transaction, ending);
  }

  done(): void {
    for (const { reader, settled } of this.#endings)
      settled(this.#lost.has(reader) ? "lockLost" : "settled");
  }

  failed(error: WaybillError): void {
    this.#begins();
    for (const { failed } of this.#endings) failed(error);
  }

  #commit(transaction: Transaction, reader: StreamReader, ended: ReadonlySet<Entry>): void {
    const { sql } = transaction;
    const { partition } = reader;
    const { address, lease } = this.#group;
    const committed = reader.commitPoint(ended);
    // The lease may hold the partition again, under another reader.
    if (reader.lost || !bookProgress(transaction, { ...this.#group, partition }, committed)) {
      this.#lost.add(reader);
      return;
    }
    sql.commitCursor.run(committed, address, partition, lease, committed);
  }

  #leave(transaction: Transaction, { reader, entry, send, failure }: StreamEnding): void {
    if (send.length > 0) store(transaction, send);
    if (failure === undefined) return;
    const { sql } = transaction;
    const { envelope, enqueuedAt } = entry.delivery;
    const seq = transaction.takeSeq();
    sql.insertCopy.run(
      seq,
      this.#group.address,
      enqueuedAt,
      encodeHeader(envelope.header, envelope.body),
      envelope.body,
      placeOf(reader.partition, entry.offset),
    );
    transaction.book.countMany(this.#group.address, "copied", 1);
    sql.insertDead.run(seq, this.#group.address, entry.attempt);
    sql.putFailure.run(seq, encodeFailure(failure));
  }
}

/** Counts one more run of the first item that is not settled. What was read before it is done, so the group has come as far as that. */
export function countRunAt(
  transaction: Transaction,
  group: GroupLease & { readonly partition: number },
  { offset, attempt }: Entry,
): Settled {
  if (!bookProgress(transaction, group, offset)) return "lockLost";
  const { address, lease, partition } = group;
  transaction.sql.countRunAt.run(offset, attempt + 1, address, partition, lease);
  return "settled";
}

/** Books how far a group is about to move on in a partition. False when it is not held under that lease. */
export function bookProgress(
  { sql, book }: Transaction,
  { address, lease, partition }: GroupLease & { readonly partition: number },
  committed: number,
): boolean {
  const held = sql.heldCursor.get(address, partition, lease) as
    | { readonly committed: number; readonly first: number }
    | undefined;
  if (held === undefined) return false;
  // What retention removed before it was read is booked as skipped.
  const passed = Math.max(committed, held.first) - Math.max(held.committed, held.first);
  book.countMany(address, "completed", passed);
  return true;
}

function byReader(endings: readonly StreamEnding[]): Map<StreamReader, Set<Entry>> {
  const ended = new Map<StreamReader, Set<Entry>>();
  for (const { reader, entry } of endings) {
    const entries = ended.get(reader);
    if (entries === undefined) ended.set(reader, new Set([entry]));
    else entries.add(entry);
  }
  return ended;
}
