import { closeSync, type FSWatcher, watch, writeSync } from "node:fs";
import type { Environment, Timer } from "@waybill/core";
import type { AddressBook } from "../addresses.ts";
import { openBeside } from "./beside.ts";
import type { Statements } from "../storage/statements.ts";
import type { Transaction } from "../storage/transaction.ts";

/** Somebody who waits for messages. */
export interface Waiter {
  /** Whether the transaction stored something for it. */
  concerns(transaction: Transaction): boolean;
  /** Would take messages, and knows of none. */
  isIdle(): boolean;
  /** One cheap read. */
  hasWork(): boolean;
  /** There may be messages now. */
  signal(): void;
}

export interface WakeOptions {
  readonly file: string;
  readonly sql: Statements;
  readonly addresses: AddressBook;
  readonly environment: Environment;
}

/** How often receivers look without having been woken: for file systems without notification, and for a process that died between COMMIT and bell. */
const pollMs = 1_000;

/**
 * Wakes receivers. Within the process directly. Across processes by a bell: a file beside the database, of which every process
 * that waits watches the changes, and into which whoever made something ready writes a byte after COMMIT. (The write-ahead
 * log itself would be the obvious thing to watch, but it changes before the commit can be seen, and for settlings too.)
 */
export class Wake {
  readonly #options: WakeOptions;
  readonly #bell: number;
  readonly #byte = Buffer.from("!");
  readonly #waiters = new Set<Waiter>();
  #watcher: FSWatcher | undefined;
  #timer: Timer | undefined;
  #dataVersion = -1;
  #checking = false;
  #closed = false;

  constructor(options: WakeOptions) {
    this.#options = options;
    this.#bell = openBeside(bellOf(options.file));
  }

  add(waiter: Waiter): void {
    this.#waiters.add(waiter);
    this.#watch();
    this.#poll();
  }

  remove(waiter: Waiter): void {
    this.#waiters.delete(waiter);
    if (this.#waiters.size > 0) return;
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** After a COMMIT of this process: wakes the others. */
  ring({ madeReady, appended }: Transaction): void {
    if (madeReady.size > 0 || appended.size > 0) writeSync(this.#bell, this.#byte, 0, 1, 0);
  }

  /** Wakes those of this process, when its operations know of the COMMIT. */
  stored(transaction: Transaction): void {
    const { madeReady, appended } = transaction;
    if (madeReady.size === 0 && appended.size === 0) return;
    for (const waiter of this.#waiters) if (waiter.concerns(transaction)) waiter.signal();
  }

  close(): void {
    this.#closed = true;
    this.#watcher?.close();
    this.#timer?.cancel();
    closeSync(this.#bell);
  }

  #watch(): void {
    if (this.#watcher !== undefined) return;
    try {
      this.#watcher = watch(bellOf(this.#options.file), { persistent: false }, () => this.#rung());
      this.#watcher.on("error", () => {
        // The poll still finds everything.
      });
    } catch {
      // No more watches to be had on this machine: the poll still finds everything.
    }
  }

  #rung(): void {
    if (this.#checking || this.#closed) return;
    this.#checking = true;
    this.#options.environment.timers.soon(() => {
      this.#checking = false;
      if (!this.#closed) this.#check("bell");
    });
  }

  #poll(): void {
    if (this.#timer !== undefined || this.#closed) return;
    const { timers } = this.#options.environment;
    this.#timer = timers.set(
      () => {
        this.#timer = undefined;
        this.#check("poll");
        if (this.#waiters.size > 0) this.#poll();
      },
      pollMs * (0.75 + this.#options.environment.random() / 2),
    );
  }

  #check(cause: "bell" | "poll"): void {
    try {
      const changed = this.#hasChanged();
      if (!changed && cause === "bell") return;
      for (const waiter of this.#waiters) {
        // The poll also finds what this process itself failed to take, for instance because the disk was full.
        if (waiter.isIdle() ? waiter.hasWork() : changed) waiter.signal();
      }
    } catch {
      // Busy or broken at this moment; whoever writes next reports it, and the poll comes again.
    }
  }

  /** Whether another process has committed since the last look. */
  #hasChanged(): boolean {
    const { sql, addresses } = this.#options;
    const [version] = sql.dataVersion.get() as unknown as [number];
    if (version === this.#dataVersion) return false;
    addresses.reread();
    this.#dataVersion = version;
    return true;
  }
}

function bellOf(file: string): string {
  return file.replace(/\.db$/, ".bell");
}
