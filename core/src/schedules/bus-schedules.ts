import { WaybillError } from "../errors.ts";
import type { Environment } from "../ports/environment.ts";
import type { ScheduleKey, ScheduleRow, ScheduleRows } from "../ports/schedule-rows.ts";
import { cancelIn, readPlan } from "./dynamic.ts";
import { missing } from "./missing.ts";
import type { Scheduler } from "./scheduler.ts";
import type { Timing } from "./timing.ts";

/** A schedule as it stands. */
export interface ScheduleStatus extends ScheduleKey {
  readonly contract: string;
  /** Its service declares it; otherwise it was made while the service ran. */
  readonly isDeclared: boolean;
  /** Undefined where what is stored cannot be read. */
  readonly timing: Timing | { readonly at: Date } | undefined;
  /** "retired": no process declares it any more, and it fires no more. */
  readonly state: "active" | "paused" | "retired";
  /** When it fires next; undefined while it does not. */
  readonly nextAt: Date | undefined;
  /** The due time of its last firing. */
  readonly lastAt: Date | undefined;
  readonly fired: number;
  /** Due times that its rule for what is missed has left out. */
  readonly missed: number;
  readonly pausedAt: Date | undefined;
  /** Why it cannot fire. */
  readonly trouble: string | undefined;
}

export interface ScheduleQuery {
  readonly service?: string;
  /** Only those that services declare, or only the others. */
  readonly declared?: boolean;
  /** Most schedules of each store, 1 to 1,000. Default 100. */
  readonly limit?: number;
  /** Only those behind this one, in the order of services and names. */
  readonly after?: ScheduleKey;
}

const limitMost = 1_000;

/** The schedules in the stores of the connected services. */
export class BusSchedules {
  readonly #schedulers: readonly Scheduler[];
  readonly #environment: Environment;

  constructor(schedulers: readonly Scheduler[], environment: Environment) {
    this.#schedulers = schedulers;
    this.#environment = environment;
  }

  /** In the order of services and names. Error: OPTION_INVALID. */
  async list(query: ScheduleQuery = {}): Promise<readonly ScheduleStatus[]> {
    const { limit = 100, service, declared, after } = query;
    if (!Number.isSafeInteger(limit) || limit < 1 || limit > limitMost)
      throw new WaybillError(
        "OPTION_INVALID",
        `The limit of a list of schedules is ${String(limit)}; give a whole number from 1 to ${limitMost}.`,
      );
    const page = {
      limit,
      ...(service !== undefined && { service }),
      ...(declared !== undefined && { declared }),
      ...(after !== undefined && { after }),
    };
    const lists = await Promise.all(
      this.#schedulers.map(({ store }) => store.schedules.list(page)),
    );
    return lists.flat().map(statusOf);
  }

  /** Undefined where there is none. */
  async find(key: ScheduleKey): Promise<ScheduleStatus | undefined> {
    const { row } = (await this.#where(key)) ?? {};
    return row === undefined ? undefined : statusOf(row);
  }

  /** It fires no more, in all processes and over restarts, until `resume`. Error: NOT_FOUND. */
  pause(key: ScheduleKey): Promise<void> {
    return this.#change(key, (row) => ({
      ...row,
      nextAt: undefined,
      pausedAt: row.pausedAt ?? this.#environment.clock.now(),
    }));
  }

  /** Goes on from now: moments that passed while it was paused are no missed ones. A one-off whose moment has passed is due at once. Error: NOT_FOUND. */
  resume(key: ScheduleKey): Promise<void> {
    const now = this.#environment.clock.now();
    return this.#change(key, (row) => {
      if (row.pausedAt === undefined || row.retiredAt !== undefined) return row;
      const { timing, moments } = readPlan(row.timing);
      const nextAt =
        moments === undefined ? (timing as { at: Date }).at.getTime() : moments.next(now);
      return { ...row, pausedAt: undefined, trouble: undefined, nextAt };
    });
  }

  /**
   * Fires it now, once more and beside its moments, also while it is paused. Answers the id of its message. Errors: NOT_FOUND, also where a declared
   * one is not declared in this process; what its `input` throws.
   */
  async trigger(key: ScheduleKey): Promise<{ readonly id: string }> {
    const found = await this.#found(key);
    return { id: await found.scheduler.trigger(key) };
  }

  /** Removes one that was made while its service ran, or one that is retired. False: there is none. Error: OPTION_INVALID for one that is declared. */
  async cancel(key: ScheduleKey): Promise<boolean> {
    const found = await this.#where(key);
    return (
      found !== undefined &&
      found.scheduler.store.transaction(({ schedules }) => cancelIn(schedules, key))
    );
  }

  async #change(key: ScheduleKey, change: (row: ScheduleRow) => ScheduleRow): Promise<void> {
    const { scheduler } = await this.#found(key);
    await scheduler.store.transaction(async ({ schedules }) => {
      const row = await loaded(schedules, key);
      await schedules.update(change(row));
    });
    scheduler.refresh();
  }

  async #found(key: ScheduleKey): Promise<{ scheduler: Scheduler; row: ScheduleRow }> {
    return (await this.#where(key)) ?? Promise.reject(missing(key));
  }

  async #where(key: ScheduleKey): Promise<{ scheduler: Scheduler; row: ScheduleRow } | undefined> {
    for (const scheduler of this.#schedulers) {
      const row = await scheduler.store.schedules.find(key);
      if (row !== undefined) return { scheduler, row };
    }
    return undefined;
  }
}

async function loaded(rows: ScheduleRows, key: ScheduleKey): Promise<ScheduleRow> {
  const row = await rows.load(key);
  if (row === undefined) throw missing(key);
  return row;
}

function statusOf(row: ScheduleRow): ScheduleStatus {
  const { service, name, contract, fired, missed, trouble, pausedAt, retiredAt } = row;
  return {
    service,
    name,
    contract,
    isDeclared: row.outgoing === undefined,
    timing: timingOf(row),
    state: retiredAt !== undefined ? "retired" : pausedAt !== undefined ? "paused" : "active",
    nextAt: dateOf(row.nextAt),
    lastAt: dateOf(row.lastAt),
    fired,
    missed,
    pausedAt: dateOf(pausedAt),
    trouble,
  };
}

function timingOf({ timing }: ScheduleRow): ScheduleStatus["timing"] {
  try {
    return readPlan(timing).timing;
  } catch {
    return undefined;
  }
}

function dateOf(time: number | undefined): Date | undefined {
  return time === undefined ? undefined : new Date(time);
}
