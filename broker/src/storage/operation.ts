import type { Environment, Logger, WaybillError } from "@waybill/core";
import type { AddressBook } from "../addresses.ts";
import type { Turns } from "../processes/turns.ts";
import type { Durability } from "./durability.ts";
import type { Statements } from "./statements.ts";
import type { Transaction } from "./transaction.ts";

/** A small change that joins a transaction with others. */
export interface Operation {
  /** Messages it writes or moves, at least 1. */
  readonly weight: number;
  readonly bytes: number;
  /** Changes the database. May run again after a rollback, so it leaves what it learned in itself only and starts afresh. Throws Refusal before its first change. */
  run(transaction: Transaction): void;
  /** After COMMIT and sync: it is stored. */
  done(): void;
  /** Nothing of it is stored; or all of it, "unsynced": a loss of power may still take it. */
  failed(error: WaybillError, fate?: "unsynced"): void;
}

/** urgent: before all that waits, such as renewals. last: after everything else of the turn, so that a claim sees what was sent and settled in it. */
export type Lane = "urgent" | "normal" | "last";

/** What a writer works with. */
export interface WriterOptions {
  readonly file: string;
  readonly sql: Statements;
  readonly addresses: AddressBook;
  readonly environment: Environment;
  readonly logger: Logger;
  readonly turns: Turns;
  readonly durability: Pick<Durability, "sync">;
}

export interface WriterEvents {
  /** After each COMMIT: every process can see it. */
  committed(transaction: Transaction): void;
  /** Then, when it is on the disk and its operations know. */
  stored(transaction: Transaction): void;
}
