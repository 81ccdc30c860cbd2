import type { Timer, WaybillError } from "@waybill/core";
import type { Connection } from "../storage/connection.ts";
import type { Statements } from "../storage/statements.ts";
import type { Transaction } from "../storage/transaction.ts";
import type { Operation } from "../storage/writer.ts";

/** The one place that says when a lock ends, on the clock of locks; never early by a part of a millisecond. */
export function lockedUntil(lockNow: number, lockMs: number): number {
  return Math.ceil(lockNow + lockMs);
}

export interface LeaseHolder {
  /** Whether it counts among the receivers of its address. */
  readonly counts: boolean;
  /** Whether anything depends on the lease now; if not it is left without a date and costs nothing. */
  holds(): boolean;
  /** Somebody else may have what was held. */
  lost(): void;
  fault(error: WaybillError): void;
}

/** A lease found or opened in a transaction, to be adopted after its COMMIT. */
export interface Grant {
  readonly id: number;
}

/**
 * One receiver's right to what it holds. All its locks end with it, so renewing any number of them writes one row.
 * Its id is the fencing token: whoever finds it gone in its own transaction has lost.
 */
export class Lease {
  readonly #connection: Connection;
  readonly #lockMs: number;
  readonly #holder: LeaseHolder;
  #id: number | undefined;
  #timer: Timer | undefined;
  #closed = false;

  constructor(connection: Connection, lockMs: number, holder: LeaseHolder) {
    this.#connection = connection;
    this.#lockMs = lockMs;
    this.#holder = holder;
  }

  get id(): number | undefined {
    return this.#id;
  }

  /** Makes sure of the lease for what this transaction is about to lock. */
  take({ sql, lockNow }: Transaction, address: number): Grant {
    const until = lockedUntil(lockNow, this.#lockMs);
    if (this.#id !== undefined) {
      const row = sql.leaseUntil.get(this.#id) as { until: number | null } | undefined;
      if (row !== undefined) {
        if (row.until === null || row.until - lockNow < (2 / 3) * this.#lockMs)
          sql.renewLease.run(until, this.#id);
        return { id: this.#id };
      }
    }
    return this.#open(sql, address, until);
  }

  /** Opens the lease without locking anything: the receiver is known from now on. */
  register({ sql }: Transaction, address: number): Grant {
    return this.#open(sql, address, null);
  }

  /** After COMMIT. */
  adopt({ id }: Grant): void {
    if (this.#id !== undefined && this.#id !== id) this.#holder.lost();
    this.#id = id;
    this.#renewLater();
  }

  /** It is not known whether what was locked under it would survive a loss of power. It is renewed no more, and others get everything when it ends. */
  giveUp(): void {
    if (this.#id === undefined) return;
    this.#id = undefined;
    this.#holder.lost();
  }

  /** Gives the row back; to be called when nothing is held. */
  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    const id = this.#id;
    if (id === undefined) return;
    this.#id = undefined;
    this.#connection.writer.submit(
      simpleOperation((transaction) => {
        transaction.sql.freeCursors.run(id);
        transaction.sql.deleteLease.run(id);
      }, this.#holder),
    );
  }

  #open(sql: Statements, address: number, until: number | null): Grant {
    const { id } = sql.insertLease.get(
      address,
      this.#connection.instance,
      until,
      this.#holder.counts ? 1 : 0,
    ) as { id: number };
    return { id };
  }

  #renewLater(): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#timer = this.#connection.environment.timers.set(() => {
      this.#timer = undefined;
      this.#renew();
    }, this.#lockMs / 3);
  }

  #renew(): void {
    const id = this.#id;
    if (id === undefined || this.#closed) return;
    const holds = this.#holder.holds();
    let gone = false;
    const operation = simpleOperation(({ sql, lockNow }) => {
      const until = this.#holder.holds() ? lockedUntil(lockNow, this.#lockMs) : null;
      gone = sql.renewLease.run(until, id).changes === 0;
    }, this.#holder);
    this.#connection.writer.submit(
      {
        ...operation,
        done: () => {
          if (!gone || this.#id !== id) return;
          this.#id = undefined;
          this.#holder.lost();
        },
      },
      "urgent",
    );
    if (holds) this.#renewLater();
  }
}

/** An operation whose only answer is a fault when it fails. */
export function simpleOperation(
  run: (transaction: Transaction) => void,
  holder: { fault(error: WaybillError): void },
): Operation {
  return { weight: 1, bytes: 0, run, done: () => {}, failed: (error) => holder.fault(error) };
}
