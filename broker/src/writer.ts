import { type Environment, type Logger, WaybillError } from "@waybill/core";
import type { AddressBook } from "./addresses.ts";
import { isBusy, messageOf, storageError } from "./errors.ts";
import type { Statements } from "./statements.ts";
import { Refusal, Transaction } from "./transaction.ts";

/** A small change that joins a transaction with others. */
export interface Operation {
  /** Messages it writes or moves, at least 1. */
  readonly weight: number;
  readonly bytes: number;
  /** Changes the database. May run again after a rollback, so it leaves what it learned in itself only and starts afresh. Throws Refusal before its first change. */
  run(transaction: Transaction): void;
  /** After COMMIT: it is stored. */
  done(): void;
  /** Nothing of it is stored. */
  failed(error: WaybillError): void;
}

export interface WriterOptions {
  readonly file: string;
  readonly sql: Statements;
  readonly addresses: AddressBook;
  readonly environment: Environment;
  readonly logger: Logger;
}

interface Applied {
  readonly transaction: Transaction;
  readonly refused: ReadonlyMap<Operation, WaybillError>;
}

const weightMax = 1_000;
/** Claims in one transaction: each may lock some hundred messages. */
const lastMax = 16;
const bytesMax = 8 * 1024 * 1024;
/** How long operations wait for the write lock of other processes before they fail with STORAGE_BUSY. */
const busyMsMax = 10_000;
/** For so many turns of the event loop the lock is tried for on each: most transactions of others are shorter. */
const spinsMax = 200;
const backoffMs = 2;

/**
 * Group commit: what is submitted during one turn of the event loop is applied in one transaction and shares its fsync.
 * Never waits inside SQLite for another process; it tries again later and leaves the event loop free.
 */
export class Writer {
  readonly #options: WriterOptions;
  readonly #committed: (transaction: Transaction) => void;
  #first: Operation[] = [];
  #last: Operation[] = [];
  #scheduled = false;
  #busySince: number | undefined;
  #spins = 0;
  #idle: (() => void)[] = [];
  /** Messages and bytes of operations that wait. */
  waiting = 0;
  waitingBytes = 0;

  /** `committed` is called after each COMMIT. */
  constructor(options: WriterOptions, committed: (transaction: Transaction) => void) {
    this.#options = options;
    this.#committed = committed;
  }

  /** `last` runs after everything else of the turn: a claim then sees what was sent and settled in it. */
  submit(operation: Operation, order: "first" | "last" = "first"): void {
    (order === "first" ? this.#first : this.#last).push(operation);
    this.waiting += operation.weight;
    this.waitingBytes += operation.bytes;
    this.#schedule();
  }

  /** Resolves when nothing waits. */
  drained(): Promise<void> {
    if (this.#isEmpty()) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Fails what still waits. */
  close(error: WaybillError): void {
    const left = [...this.#first, ...this.#last];
    this.#first = [];
    this.#last = [];
    this.#release(left);
    for (const operation of left) this.#fail(operation, error);
  }

  #isEmpty(): boolean {
    return this.#first.length === 0 && this.#last.length === 0;
  }

  #schedule(): void {
    if (this.#scheduled || this.#isEmpty()) return;
    this.#scheduled = true;
    this.#options.environment.timers.soon(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    if (this.#isEmpty()) return;
    try {
      this.#options.sql.begin.run();
    } catch (error) {
      if (isBusy(error)) return this.#waitForLock(error);
      return this.#settle(this.#take(), error);
    }
    this.#busySince = undefined;
    this.#spins = 0;
    const batch = this.#take();
    try {
      this.#finish(batch, this.#apply(batch));
    } catch (error) {
      this.#rollback();
      if (batch.length === 1) this.#settle(batch, error);
      else this.#oneByOne(batch);
    }
    this.#after();
  }

  /** From the open transaction to its COMMIT. */
  #apply(batch: readonly Operation[]): Applied {
    const { sql, addresses, environment } = this.#options;
    const refused = new Map<Operation, WaybillError>();
    const transaction = new Transaction(sql, addresses, environment.clock.now());
    for (const operation of batch) {
      try {
        operation.run(transaction);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        refused.set(operation, storageError(error.cause, this.#options.file));
      }
    }
    transaction.finish();
    sql.commit.run();
    return { transaction, refused };
  }

  /** Does not throw: from here on everything is stored. */
  #finish(batch: readonly Operation[], { transaction, refused }: Applied): void {
    this.#release(batch);
    for (const operation of batch) {
      const error = refused.get(operation);
      if (error !== undefined) this.#fail(operation, error);
      else this.#guard(() => operation.done());
    }
    this.#guard(() => this.#committed(transaction));
  }

  /** One of them spoiled the transaction; alone, each gets its own answer. */
  #oneByOne(batch: readonly Operation[]): void {
    for (const operation of batch) {
      try {
        this.#options.sql.begin.run();
        this.#finish([operation], this.#apply([operation]));
      } catch (error) {
        this.#rollback();
        this.#settle([operation], error);
      }
    }
  }

  #take(): Operation[] {
    let weight = 0;
    let bytes = 0;
    let count = 0;
    for (const operation of this.#first) {
      weight += operation.weight;
      bytes += operation.bytes;
      if (count > 0 && (weight > weightMax || bytes > bytesMax)) break;
      count += 1;
    }
    const batch = count === this.#first.length ? this.#first : this.#first.splice(0, count);
    if (batch === this.#first) this.#first = [];
    batch.push(...this.#last.splice(0, lastMax));
    return batch;
  }

  #waitForLock(error: unknown): void {
    const { environment } = this.#options;
    const now = environment.clock.monotonic();
    this.#busySince ??= now;
    const waited = now - this.#busySince;
    if (waited > busyMsMax) {
      this.#busySince = undefined;
      this.#spins = 0;
      this.#settle(this.#take(), error);
      return this.#after();
    }
    this.#scheduled = true;
    this.#spins += 1;
    if (this.#spins < spinsMax) environment.timers.soon(() => this.#flush());
    else environment.timers.set(() => this.#flush(), backoffMs * environment.random());
  }

  #settle(batch: readonly Operation[], error: unknown): void {
    this.#release(batch);
    for (const operation of batch) this.#fail(operation, storageError(error, this.#options.file));
  }

  #fail(operation: Operation, error: WaybillError): void {
    this.#guard(() => operation.failed(error));
  }

  #release(batch: readonly Operation[]): void {
    for (const operation of batch) {
      this.waiting -= operation.weight;
      this.waitingBytes -= operation.bytes;
    }
  }

  #after(): void {
    this.#schedule();
    if (!this.#isEmpty() || this.#idle.length === 0) return;
    const idle = this.#idle;
    this.#idle = [];
    for (const resolve of idle) resolve();
  }

  #rollback(): void {
    try {
      this.#options.sql.rollback.run();
    } catch {
      // SQLite has rolled back by itself, as it does after some errors.
    }
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#options.logger.error("The embedded broker's own code failed after a commit; please report it.", { error: messageOf(error) });
    }
  }
}
