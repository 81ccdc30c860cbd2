import { statSync } from "node:fs";
import { type Timer, WaybillError } from "@waybill/core";
import { lockClockOf } from "@waybill/core/adapter";
import type { Connection } from "../storage/connection.ts";
import { lockedUntil, simpleOperation } from "../queues/lease.ts";
import { release } from "../queues/sessions.ts";
import type { Transaction } from "../storage/transaction.ts";

/** How often a process says that it is alive. */
const heartbeatMs = 2_000;
/** After so long without a heartbeat it counts as dead: its temporary queues go, its commands can get another owner. */
const deadAfterMs = 10_000;

export interface PresenceOptions {
  readonly name: string;
  /** Others took this process for dead, for instance because it was suspended; what it had declared is gone. */
  revived(): void;
  fault(error: WaybillError): void;
}

/** This process in the table of live instances. */
export class Presence {
  readonly #connection: Connection;
  readonly #options: PresenceOptions;
  /** Of the file that this process opened. */
  readonly #inode: number;
  #id = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(connection: Connection, options: PresenceOptions) {
    this.#connection = connection;
    this.#options = options;
    this.#inode = inodeOf(connection.file);
  }

  get id(): number {
    return this.#id;
  }

  /** Resolves when it is registered. */
  enter(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#register({ done: resolve, failed: reject });
    });
  }

  #register(answer: { done(): void; failed(error: WaybillError): void }): void {
    const { name } = this.#options;
    let id = 0;
    this.#connection.writer.submit({
      weight: 1,
      bytes: 0,
      run: (transaction) => {
        const { sql, lockNow } = transaction;
        beginBoot(transaction, lockClockOf(this.#connection.environment.clock).boot);
        id = (sql.insertInstance.get(name, lockedUntil(lockNow, deadAfterMs)) as { id: number }).id;
      },
      done: () => {
        this.#id = id;
        this.#beatLater();
        answer.done();
      },
      failed: (error) => answer.failed(error),
    });
  }

  leave(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  /** Whoever swaps the file under running processes splits the broker in two; SQLite goes on in the old one without a word. */
  #watchFile(): void {
    const { file } = this.#connection;
    const inode = inodeOf(file);
    if (inode === this.#inode) return;
    this.#options.fault(
      new WaybillError(
        "STORAGE_INVALID",
        `"${file}" was removed or replaced while this process has it open; what it stores reaches no process that opened the new one. Put the file back, or restart all processes of the broker.`,
        { details: { file } },
      ),
    );
  }

  #beatLater(): void {
    if (this.#closed) return;
    this.#timer = this.#connection.environment.timers.set(() => this.#beat(), heartbeatMs);
  }

  #beat(): void {
    if (this.#closed) return;
    this.#watchFile();
    let gone = false;
    const operation = simpleOperation(({ sql, lockNow }) => {
      gone = sql.beat.run(lockedUntil(lockNow, deadAfterMs), this.#id).changes === 0;
    }, this.#options);
    this.#connection.writer.submit(
      {
        ...operation,
        done: () => {
          if (gone && !this.#closed)
            this.#register({
              done: () => this.#options.revived(),
              failed: (error) => this.#options.fault(error),
            });
          else this.#beatLater();
        },
        failed: (error) => {
          this.#options.fault(error);
          this.#beatLater();
        },
      },
      "urgent",
    );
  }
}

/**
 * Makes what locks say true for this boot of the machine. Nobody who lived before it lives any more, and its moments mean
 * nothing now: whatever was held then is opened for others, the attempts counted.
 */
function beginBoot(transaction: Transaction, boot: string): void {
  const { sql } = transaction;
  const known = sql.readBoot.get() as { boot: string } | undefined;
  if (known?.boot === boot) return;
  for (const lease of sql.allLeases.all() as unknown as { id: number; address: number }[])
    reopenLease(transaction, lease);
  for (const { id } of sql.allInstances.all() as unknown as { id: number }[])
    removeInstance(transaction, id, true);
  sql.writeBoot.run(boot);
}

/** 0 when there is no such file. */
function inodeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.ino ?? 0;
}

/** Takes an instance off the books with what lives no longer than it. Answers false while a lock of it still runs. */
export function removeInstance(
  transaction: Transaction,
  instance: number,
  force: boolean,
): boolean {
  const { sql, lockNow } = transaction;
  const leases = sql.leasesOfInstance.all(instance) as unknown as {
    id: number;
    address: number;
    until: number | null;
  }[];
  if (!force && leases.some(({ until }) => until !== null && until > lockNow)) return false;
  for (const lease of leases) reopenLease(transaction, lease);
  const temporary = sql.addressesOfInstance.all(instance) as unknown as { id: number }[];
  for (const { id } of temporary) {
    sql.removeAddress.run(id);
    sql.foldBook.run(id);
    sql.deleteBook.run(id);
  }
  if (temporary.length > 0) transaction.changeTopology();
  sql.deleteOwnersOfInstance.run(instance);
  sql.deleteInstance.run(instance);
  return true;
}

/** Makes everything under a lease ready for others, the attempts counted, and ends the lease. */
export function reopenLease(
  transaction: Transaction,
  { id, address }: { readonly id: number; readonly address: number },
): void {
  const { sql } = transaction;
  if (transaction.addresses.get(address) === undefined) {
    for (const { seq } of sql.heldBy.all(id) as unknown as { seq: number }[]) {
      sql.deleteMessage.run(seq);
      sql.deleteFailure.run(seq);
      transaction.book.countMany(address, "dropped", 1);
    }
  } else if (sql.reopenLease.run(id).changes !== 0) transaction.madeReady.add(address);
  sql.unlockLease.run(id);
  const sessions = sql.sessionsOfLease.all(id) as unknown as { id: number }[];
  for (const session of sessions) release(transaction, session.id);
  if (sql.freeCursors.run(id).changes !== 0) transaction.madeReady.add(address);
  sql.deleteLease.run(id);
}
