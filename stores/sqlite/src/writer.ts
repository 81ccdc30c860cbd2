import type { DatabaseSync, StatementSync } from "node:sqlite";
import { type Environment, WaybillError } from "@waybill/core";
import { isBusy, isConstraint, storageError } from "./errors.ts";

/** Something that is done in a transaction with others. */
export interface Job {
  /** May run once only: what it threw, it is told by `failed`. */
  run(): void | Promise<void>;
  /** After COMMIT: it is stored. */
  done(): void;
  /** Nothing of it is stored. */
  failed(error: unknown): void;
}

interface WriterOptions {
  readonly db: DatabaseSync;
  readonly file: string;
  readonly environment: Environment;
  readonly busyMsMax: number;
}

/** What shares one COMMIT: so many jobs, for so long. */
const groupMax = 256;
const groupMsMax = 5;
/** So often the write lock of another process is tried for on every turn of the event loop; then there are pauses. */
const spinsMax = 50;
const pauseMs = 1;

/**
 * Runs jobs one after another on one connection, each in a savepoint of its own: one that fails takes back only what it did. Those that wait
 * share one COMMIT, and so its fsync.
 */
export class Writer {
  readonly #options: WriterOptions;
  readonly #sql: Readonly<
    Record<"begin" | "commit" | "rollback" | "save" | "back" | "release", StatementSync>
  >;
  readonly #queue: Job[] = [];
  #running: Promise<void> | undefined;
  /** So many jobs are committed each on its own. */
  #alone = 0;
  #isClosed = false;

  constructor(options: WriterOptions) {
    this.#options = options;
    const { db } = options;
    this.#sql = {
      begin: db.prepare("begin immediate"),
      commit: db.prepare("commit"),
      rollback: db.prepare("rollback"),
      save: db.prepare("savepoint waybill"),
      back: db.prepare("rollback to waybill"),
      release: db.prepare("release waybill"),
    };
  }

  submit(job: Job): void {
    if (this.#isClosed) return job.failed(closed(this.#options.file));
    this.#queue.push(job);
    this.#start();
  }

  #start(): void {
    // What is submitted in this turn of the event loop goes together.
    this.#running ??= new Promise<void>((resolve) => {
      this.#options.environment.timers.soon(() => resolve(this.#runAll()));
    }).finally(() => {
      this.#running = undefined;
      // Whoever was told of its end may have submitted more meanwhile.
      if (this.#queue.length > 0) this.#start();
    });
  }

  /** Takes back a job that has not begun. */
  withdraw(job: Job): boolean {
    const index = this.#queue.indexOf(job);
    if (index !== -1) this.#queue.splice(index, 1);
    return index !== -1;
  }

  /** Lets what was submitted end. */
  async close(): Promise<void> {
    this.#isClosed = true;
    while (this.#running !== undefined) await this.#running;
  }

  async #runAll(): Promise<void> {
    while (this.#queue.length > 0) {
      try {
        await this.#begin();
      } catch (error) {
        const failure = storageError(error, this.#options.file);
        for (const job of this.#queue.splice(0)) job.failed(failure);
        continue;
      }
      await this.#runGroup();
    }
  }

  async #begin(): Promise<void> {
    const { environment, busyMsMax } = this.#options;
    const { clock, timers } = environment;
    const until = clock.monotonic() + busyMsMax;
    // A script may have nothing else that keeps its process alive while another one writes.
    const alive = environment.keepAlive?.();
    try {
      for (let tries = 0; ; tries++) {
        try {
          return void this.#sql.begin.run();
        } catch (error) {
          if (!isBusy(error) || clock.monotonic() >= until) throw error;
        }
        await new Promise<void>((resolve) => {
          if (tries < spinsMax) timers.soon(resolve);
          else timers.set(resolve, pauseMs * (0.5 + environment.random()));
        });
      }
    } finally {
      alive?.cancel();
    }
  }

  async #runGroup(): Promise<void> {
    const { environment, db } = this.#options;
    const until = environment.clock.monotonic() + groupMsMax;
    const most = this.#alone > 0 ? 1 : groupMax;
    this.#alone = Math.max(0, this.#alone - 1);
    const group: Job[] = [];
    do {
      const job = this.#queue.shift();
      if (job === undefined) break;
      if (await this.#save(job)) group.push(job);
    } while (db.isTransaction && group.length < most && environment.clock.monotonic() < until);
    this.#commit(group);
  }

  /** False: it failed, and what it did is taken back. */
  async #save(job: Job): Promise<boolean> {
    try {
      this.#sql.save.run();
      const work = job.run();
      if (work !== undefined) await work;
      if (!this.#options.db.isTransaction) throw new Error("SQLite rolled the transaction back");
      this.#sql.release.run();
      return true;
    } catch (error) {
      this.#back();
      job.failed(this.#options.db.isTransaction ? error : storageError(error, this.#options.file));
      return false;
    }
  }

  #back(): void {
    try {
      this.#sql.back.run();
      this.#sql.release.run();
    } catch {
      // SQLite has rolled back everything by itself, as it does after some errors; the group is told.
    }
  }

  #commit(group: readonly Job[]): void {
    const { db, file } = this.#options;
    let failure: unknown;
    if (db.isTransaction) {
      try {
        this.#sql.commit.run();
      } catch (error) {
        failure = error;
        if (db.isTransaction) this.#sql.rollback.run();
        // One of them cannot be committed, and would take its neighbours along each time.
        if (group.length > 1 && isConstraint(error)) this.#alone = groupMax;
      }
    } else failure = new Error("SQLite rolled the transaction back");
    if (failure === undefined) for (const job of group) job.done();
    else for (const job of group) job.failed(storageError(failure, file));
  }
}

function closed(file: string): WaybillError {
  return new WaybillError("CLOSED", `The store in "${file}" is closed.`);
}
