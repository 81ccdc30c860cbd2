import type { WaybillError } from "@waybill/core";
import { isBusy, messageOf, storageError } from "../errors.ts";
import { afterPause } from "../pause.ts";
import type { Lane, Operation, WriterEvents, WriterOptions } from "./operation.ts";
import { Refusal, Transaction } from "./transaction.ts";

export type { Lane, Operation } from "./operation.ts";

interface Applied {
  readonly transaction: Transaction;
  readonly ran: number;
  readonly refused: ReadonlyMap<Operation, WaybillError>;
}

const weightMax = 1_000;
/** Claims in one transaction. Most lock few messages: an event for a thousand handlers is claimed by each of them. */
const lastMax = 250;
/** What they may lock and read before the others wait for the next transaction. */
const claimedMax = 16_000;
const bytesMax = 8 * 1024 * 1024;
/** How long operations wait for the write lock of other processes before they fail with STORAGE_BUSY. */
const busyMsMax = 10_000;
/** Who has waited for so long asks the others to let it go first. */
const patienceMs = 2;
/** For so long a process that has just written lets others go first. */
const politeMsMax = 10;
/** So many times in a row the lock is tried for on every turn of the event loop; then there are pauses. */
const spinsMax = 1_000;
const pauseMs = 1;
/** More rivals than this make a crowd. */
const crowdMin = 2;
/** A crowd that was seen is believed to be there for so long. */
const crowdMs = 200;
/** In a crowd a process writes for so long before it lets others go first: each handing over costs a pause, and the page cache of who comes next. */
const burstMs = 5;

/**
 * Group commit: what is submitted during one turn of the event loop is applied in one transaction and shares its fsync, for which
 * the write lock is not held.
 * Never waits inside SQLite for another process; it tries again later and leaves the event loop free.
 */
export class Writer {
  readonly #options: WriterOptions;
  readonly #events: WriterEvents;
  #urgent: Operation[] = [];
  #normal: Operation[] = [];
  #last: Operation[] = [];
  #scheduled = false;
  #politeUntil = 0;
  #busySince: number | undefined;
  #tries = 0;
  #crowdUntil = 0;
  #burstSince: number | undefined;
  #idle: (() => void)[] = [];
  /** Messages and bytes of operations that wait. */
  waiting = 0;
  waitingBytes = 0;

  constructor(options: WriterOptions, events: WriterEvents) {
    this.#options = options;
    this.#events = events;
  }

  submit(operation: Operation, lane: Lane = "normal"): void {
    if (lane === "normal") this.#normal.push(operation);
    else (lane === "last" ? this.#last : this.#urgent).push(operation);
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
    const left = [...this.#urgent, ...this.#normal, ...this.#last];
    this.#urgent = [];
    this.#normal = [];
    this.#last = [];
    this.#release(left);
    for (const operation of left) this.#fail(operation, error);
  }

  #isEmpty(): boolean {
    return this.#normal.length === 0 && this.#last.length === 0 && this.#urgent.length === 0;
  }

  #schedule(): void {
    if (this.#scheduled || this.#isEmpty()) return;
    this.#scheduled = true;
    this.#options.environment.timers.soon(() => this.#flush());
  }

  #flush(): void {
    this.#scheduled = false;
    if (this.#isEmpty() || this.#yields()) return;
    try {
      this.#options.sql.begin.run();
    } catch (error) {
      if (isBusy(error)) return this.#waitForLock(error);
      this.#settle(this.#take(), error);
      return this.#after();
    }
    const batch = this.#take();
    try {
      const applied = this.#apply(batch);
      this.#hadTurn();
      this.#last.unshift(...batch.splice(applied.ran));
      this.#finish(batch, applied);
    } catch (error) {
      this.#rollback();
      this.#hadTurn();
      if (batch.length === 1) this.#settle(batch, error);
      else this.#oneByOne(batch);
    }
    this.#after();
  }

  /** True when it lets others go first and comes again later. */
  #yields(): boolean {
    if (this.#politeUntil === 0) return false;
    const asking =
      this.#options.environment.clock.monotonic() < this.#politeUntil
        ? this.#options.turns.asking()
        : 0;
    if (asking === 0) this.#politeUntil = 0;
    else this.#flushLater(asking);
    return asking > 0;
  }

  /** With one rival at most it is worth trying on every turn of the event loop; among many that would only take the processor from whoever has the lock. */
  #flushLater(rivals: number): void {
    const { environment } = this.#options;
    this.#scheduled = true;
    this.#tries += 1;
    if (rivals >= crowdMin) this.#crowdUntil = environment.clock.monotonic() + crowdMs;
    if (rivals <= 1 && this.#tries < spinsMax) environment.timers.soon(() => this.#flush());
    else afterPause(environment, pauseMs * (0.5 + environment.random()), () => this.#flush());
  }

  #hadTurn(): void {
    this.#busySince = undefined;
    this.#tries = 0;
    this.#options.turns.had();
    const now = this.#options.environment.clock.monotonic();
    this.#burstSince ??= now;
    if (now < this.#crowdUntil && now - this.#burstSince < burstMs) return;
    this.#burstSince = undefined;
    this.#politeUntil = now + politeMsMax;
  }

  /** From the open transaction to its COMMIT. */
  #apply(batch: readonly Operation[]): Applied {
    const { sql, addresses, environment } = this.#options;
    const refused = new Map<Operation, WaybillError>();
    const transaction = new Transaction(sql, addresses, environment.clock);
    let ran = 0;
    for (const operation of batch) {
      if (transaction.claimed >= claimedMax) break;
      ran += 1;
      try {
        operation.run(transaction);
      } catch (error) {
        if (!(error instanceof Refusal)) throw error;
        refused.set(operation, storageError(error.cause, this.#options.file));
      }
    }
    transaction.finish();
    sql.commit.run();
    return { transaction, ran, refused };
  }

  /** Does not throw: from here on everything is committed. The others go on with it while the disk works. */
  #finish(batch: readonly Operation[], { transaction, refused }: Applied): void {
    this.#release(batch);
    this.#guard(() => this.#events.committed(transaction));
    const unsynced = this.#sync(transaction);
    for (const operation of batch) {
      const error = refused.get(operation);
      if (error !== undefined) this.#fail(operation, error);
      else if (unsynced !== undefined) this.#guard(() => operation.failed(unsynced, "unsynced"));
      else this.#guard(() => operation.done());
    }
    this.#guard(() => this.#events.stored(transaction));
  }

  /** Never tries again: a disk that lost a write once says yes the next time. */
  #sync(transaction: Transaction): WaybillError | undefined {
    try {
      if (transaction.hasChanged) this.#options.durability.sync();
      return undefined;
    } catch (error) {
      return storageError(error, this.#options.file);
    }
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
    for (const operation of this.#normal) {
      weight += operation.weight;
      bytes += operation.bytes;
      if (count > 0 && (weight > weightMax || bytes > bytesMax)) break;
      count += 1;
    }
    const normal = count === this.#normal.length ? this.#normal : this.#normal.splice(0, count);
    if (normal === this.#normal) this.#normal = [];
    return [...this.#urgent.splice(0), ...normal, ...this.#last.splice(0, lastMax)];
  }

  #waitForLock(error: unknown): void {
    const { environment } = this.#options;
    const now = environment.clock.monotonic();
    this.#busySince ??= now;
    const waited = now - this.#busySince;
    if (waited > busyMsMax) {
      this.#hadTurn();
      this.#settle(this.#take(), error);
      return this.#after();
    }
    this.#burstSince = undefined;
    if (waited < patienceMs && now >= this.#crowdUntil) return this.#flushLater(0);
    this.#options.turns.ask();
    this.#flushLater(this.#options.turns.asking());
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
    this.#options.addresses.doubt();
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#options.logger.error(
        "The embedded broker's own code failed after a commit; please report it.",
        { error: messageOf(error) },
      );
    }
  }
}
