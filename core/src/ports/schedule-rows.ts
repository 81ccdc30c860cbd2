import type { Outgoing } from "./transport.ts";

/** Names a schedule in its store. */
export interface ScheduleKey {
  readonly service: string;
  readonly name: string;
}

/** A schedule as it is stored. Times are milliseconds since 1970 on the clock of the bus. */
export interface ScheduleRow extends ScheduleKey {
  /** The contract of what it sends. */
  readonly contract: string;
  /** When it is due, as JSON. Two that are due at the same moments have the same text. */
  readonly timing: string;
  /** What it sends; undefined where the service declares it and makes each message anew. */
  readonly outgoing: Outgoing | undefined;
  /** When it is due next; undefined while it is paused, and when it is retired. */
  readonly nextAt: number | undefined;
  /** The due time of its last firing. */
  readonly lastAt: number | undefined;
  /** How often it has fired. */
  readonly fired: number;
  /** How many due times its rule has left out. */
  readonly missed: number;
  readonly pausedAt: number | undefined;
  /** Until when processes with this timing are known to live. */
  readonly keptUntil: number | undefined;
  /** Since when no process declares it any more. */
  readonly retiredAt: number | undefined;
  /** Why it cannot fire. */
  readonly trouble: string | undefined;
}

/** The schedules, in an open transaction. What it does stands or falls with it. */
export interface ScheduleRows {
  /** Waits for other transactions that change it, and lets them wait until this one ends. */
  load(key: ScheduleKey): ScheduleRow | undefined | Promise<ScheduleRow | undefined>;
  /** Those with a message of their own that are due at `now`, oldest first, locked; without those that another transaction has locked. */
  due(now: number, limit: number): readonly ScheduleRow[] | Promise<readonly ScheduleRow[]>;
  /** False: there is one already, which stays as it is. Waits for another transaction that inserts the same. */
  insert(row: ScheduleRow): boolean | Promise<boolean>;
  /** In place of one that this transaction has loaded. */
  update(row: ScheduleRow): void | Promise<void>;
  /** False: there is none. */
  remove(key: ScheduleKey): boolean | Promise<boolean>;
}

/** The schedules, as they are committed. */
export interface Schedules {
  find(key: ScheduleKey): Promise<ScheduleRow | undefined>;
  /** In the order of services and names. */
  list(page: SchedulePage): Promise<readonly ScheduleRow[]>;
  /** The due time of the first with a message of its own; undefined where there is none. */
  nextDue(): Promise<number | undefined>;
}

export interface SchedulePage {
  readonly limit: number;
  /** Only those of this service. */
  readonly service?: string;
  /** Only those that services declare, or only those with a message of their own. */
  readonly declared?: boolean;
  /** Only those behind this one. */
  readonly after?: ScheduleKey;
}
