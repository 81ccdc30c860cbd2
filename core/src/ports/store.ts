import type { Environment } from "./environment.ts";
import type { Logger } from "./logger.ts";
import type { EventRows, Events } from "./event-rows.ts";
import type { SagaRows, Sagas } from "./saga-rows.ts";
import type { ViewRows, Views } from "./view-rows.ts";
import type { ScheduleRows, Schedules } from "./schedule-rows.ts";
import type { Destination, Failure, Outgoing } from "./transport.ts";

/** What `service(name, { store })` names: settings that can be opened, once per bus. `Client` is what a handler gets as `context.transaction`. */
export interface StoreFactory<Client = unknown> {
  readonly name: string;
  /** Everything that the store needs in its database, oldest first: for a team that applies it by its own means. */
  readonly migrations: readonly Migration[];
  /** From which age of the oldest unsent message, in milliseconds, the bus is degraded, and failed. */
  readonly alarmAfterMs: { readonly degraded: number; readonly failed: number };
  /** After how long without a renewal, in milliseconds, another process takes over what this one has stored. */
  readonly takeOverAfterMs: number;
  open(host: StoreHost): Promise<Store<Client>>;
}

/** One step of a schema, whole: it also notes its version. Applied once, in the order of versions. */
export interface Migration {
  readonly version: number;
  readonly sql: string;
}

/** What a store gets from the bus that opens it. */
export interface StoreHost {
  readonly environment: Environment;
  readonly logger: Logger;
  /** These rows are stored, and are this process's to send. Called after each COMMIT, in the order of commits, before its `transaction` resolves. */
  committed(rows: readonly OutboxRow[]): void;
}

/** Keeps state and messages beside the business data. One connection, or pool, of one bus to one database. */
export interface Store<Client = unknown> extends AsyncDisposable {
  readonly name: string;
  readonly outbox: Outbox;
  readonly sagas: Sagas;
  readonly views: Views;
  readonly schedules: Schedules;
  readonly events: Events;
  /**
   * Commits when `work` resolves, and then resolves; nothing of it stays when it rejects. Errors: what `work` threw; STORAGE_BUSY, STORAGE_FULL and
   * STORAGE_FAILED, with nothing stored; COMMIT_UNKNOWN when the database went away while it committed.
   */
  transaction<Result>(
    work: (transaction: StoreTransaction<Client>) => Result | Promise<Result>,
    options?: TransactionOptions,
  ): Promise<Result>;
}

export interface TransactionOptions {
  /** How long it may wait for its turn, in milliseconds; then STORAGE_BUSY. Default: no limit, for what is bounded by a handler's concurrency. */
  readonly waitMsMax?: number;
}

/** One open transaction. Of no use when it has ended. */
export interface StoreTransaction<Client = unknown> {
  readonly client: Client;
  readonly sagas: SagaRows;
  readonly views: ViewRows;
  readonly schedules: ScheduleRows;
  readonly events: EventRows;
  /** Inserts the record that a message was handled; false when it is there already. Waits for another transaction that claims the same. */
  claim(address: string, message: string): boolean | Promise<boolean>;
  /**
   * Writes messages into the outbox, to be sent after COMMIT. `stream` names the stream of which they are events, in order: whoever writes them has
   * read what was committed of it before.
   */
  append(batch: readonly Outgoing[], stream?: string): void | Promise<void>;
}

/** A message that is stored and waits to be sent. */
export interface OutboxRow {
  /** Names the row in its store, and rises with the order in which this process wrote. */
  readonly key: number;
  readonly outgoing: Outgoing;
  /** Names the stream of which it is an event. */
  readonly stream?: string;
  /** Older events of its stream may not have left yet: `Outbox.streams` says. */
  readonly isBehind?: boolean;
}

/** What was stored to be sent. Each row belongs to one living process: to who wrote it, or to who took over from a dead one. */
export interface Outbox {
  /** The first rows of this process that are not set aside, in their order; only those for destinations of these kinds, where kinds are given. */
  own(limit: number, kinds?: readonly Destination["kind"][]): Promise<readonly OutboxRow[]>;
  /** Of these streams the keys of all rows that wait to be sent, whosever they are, in their order. */
  streams(names: readonly string[]): Promise<ReadonlyMap<string, readonly number[]>>;
  /** Removes rows that the transport has confirmed. */
  sent(rows: readonly OutboxRow[]): Promise<void>;
  /** The transport refuses it: it stands aside with the reason, and those behind it go on. */
  setAside(row: OutboxRow, failure: OutboxFailure): Promise<void>;
  /**
   * This process lives for another `leaseMs`, on the store's clock; takes over from those whose lease ran out, and forgets what inbox and views need
   * not remember any more, one small step of it.
   */
  renew(leaseMs: number): Promise<Renewal>;
  state(): Promise<OutboxState>;
  /** What is set aside, oldest first, after the row with key `after`. */
  aside(page: { readonly limit: number; readonly after?: number }): Promise<readonly AsideRow[]>;
  /** Sends what is set aside once more. Answers how many there were. */
  retry(keys: readonly number[]): Promise<number>;
  /** Removes what is set aside. Answers how many there were. */
  discard(keys: readonly number[]): Promise<number>;
}

export interface Renewal {
  /** Rows of a dead process are this one's now, older than its own. */
  readonly taken: boolean;
  /** Others had taken this process for dead: the rows that it knew are theirs. */
  readonly lost: boolean;
  /** There is more to forget. */
  readonly more: boolean;
}

export interface OutboxState {
  /** Rows of all processes that wait to be sent, counted up to 10,000. */
  readonly waiting: number;
  /** How long the oldest of them has waited, in milliseconds. */
  readonly oldestMs: number;
  readonly aside: number;
}

export type OutboxFailure = Pick<Failure, "reason" | "message">;

export interface AsideRow extends OutboxRow {
  readonly failure: OutboxFailure;
}
