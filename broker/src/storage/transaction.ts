import type { Clock, Outgoing } from "@waybill/core";
import { lockClockOf } from "@waybill/core/adapter";
import type { AddressBook } from "../addresses.ts";
import { Book } from "../operating/book.ts";
import type { Statements } from "./statements.ts";

/** What one `BEGIN … COMMIT` knows and leaves behind. After a rollback it is thrown away with everything it knows. */
export class Transaction {
  readonly sql: Statements;
  /** One reading of the wall clock in whole milliseconds, so that everything in the transaction happens at one moment. */
  readonly now: number;
  /** The same moment on the clock of locks and heartbeats. */
  readonly lockNow: number;
  readonly addresses: AddressBook;
  readonly book: Book = new Book();
  /** Addresses in which something can be claimed now that could not before. */
  readonly madeReady: Set<number> = new Set();
  /** Streams that grew. */
  readonly appended: Set<number> = new Set();
  /** Events stored that no subscription names by type. */
  readonly unrouted: Outgoing[] = [];
  /** Topics at which they were set aside, until the oldest have made room. */
  readonly parkedIn: Set<number> = new Set();
  /** Messages locked and items read for receivers. */
  claimed: number = 0;
  /** Messages not stored, because their destination remembers them. */
  readonly duplicates: Outgoing[] = [];
  /** Dead letters that went to make room for newer ones, by topic. */
  readonly evicted: Map<number, number> = new Map();
  /** The earliest moment at which something that was stored here has to be moved. */
  nextDue: number = Number.POSITIVE_INFINITY;
  #seq: number;
  readonly #seqBefore: number;
  readonly #rowsBefore: number;
  #rows: number;

  constructor(sql: Statements, addresses: AddressBook, clock: Clock) {
    this.sql = sql;
    this.now = Math.floor(clock.now());
    this.lockNow = lockClockOf(clock).now();
    const [seq, topology] = sql.readState.get() as unknown as [number, number];
    this.#seq = seq;
    this.#seqBefore = seq;
    addresses.refresh(topology);
    this.addresses = addresses;
    this.#rowsBefore = rowsChanged(sql);
    this.#rows = this.#rowsBefore;
  }

  /** Rises with the order of commits, over all processes, and never comes again. */
  takeSeq(): number {
    return this.#seq++;
  }

  willBeDue(moment: number): void {
    if (moment < this.nextDue) this.nextDue = moment;
  }

  /** After a change of the topology: what follows in this transaction goes by it, and so does every process. */
  changeTopology(): void {
    this.sql.bumpTopology.run();
    const [, topology] = this.sql.readState.get() as unknown as [number, number];
    this.addresses.foresee(topology);
  }

  /** To be called before COMMIT. */
  finish(): void {
    const { addresses } = this;
    this.book.write(this.sql, addresses.types, (address) => addresses.get(address) !== undefined);
    if (this.#seq !== this.#seqBefore) this.sql.writeSeq.run(this.#seq);
    this.#rows = rowsChanged(this.sql);
  }

  /** Whether it has written anything; known when it is finished. */
  get hasChanged(): boolean {
    return this.#rows !== this.#rowsBefore;
  }
}

/** Rows that this connection has changed since it was opened. */
export function rowsChanged(sql: Statements): number {
  return (sql.rowsChanged.get() as { count: number }).count;
}

/** The operation cannot be done and has changed nothing; the others of its transaction can. */
export class Refusal extends Error {
  override readonly name = "Refusal";
  constructor(cause: Error) {
    super(cause.message, { cause });
  }
}
