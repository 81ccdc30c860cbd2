import type { Command, Event, Stream } from "@waybill/contracts";
import type { ValueOf } from "../context.ts";
import type { CronTiming, EveryTiming, Timing } from "./timing.ts";

/** What a schedule can send. */
export type Schedulable = Command | Event | Stream;

/**
 * What becomes of due times that passed while no process was there to see them (or the database was gone): "last": the last of them fires, late; "skip": none does, but
 * the next one; "all": each fires, the last `missedMax` of them, the oldest first.
 */
export type MissedRule = "last" | "skip" | "all";

/** One firing of a schedule. */
export interface Firing {
  /** The moment for which it fires, which is in the past when it comes late. When somebody triggers it, that moment. */
  readonly due: Date;
  /** How many due times had passed together with this one and were left out, by the rule for what is missed; counted up to 1,000. */
  readonly missed: number;
  /** Somebody has asked for it: `bus.schedules.trigger`. */
  readonly isTriggered: boolean;
}

/** What a schedule does with due times that have passed. */
export interface MissedOptions {
  /** Default "last". */
  readonly missed?: MissedRule;
  /** Most firings that "all" makes up for at once, 1 to 1,000. Default 100. */
  readonly missedMax?: number;
  /** How late a firing of "skip" may be, 1,000 to 86,400,000 ms. Default 60,000. */
  readonly graceMs?: number;
}

interface Sending<Contract extends Schedulable> extends MissedOptions {
  /** A command, an event or a stream that the service declares. */
  readonly contract: Contract;
  /** What the message says. Runs in the transaction of the firing, so it awaits nothing. When it throws, the firing is tried again until it does not. */
  readonly input: (firing: Firing) => NoInfer<ValueOf<Contract>>;
}

export type ScheduleOptions<Contract extends Schedulable> = Sending<Contract> &
  (
    | (CronTiming & { readonly everyMs?: never })
    | (EveryTiming & { readonly cron?: never; readonly timeZone?: never })
  );

/** Everything that a schedule says of itself. */
export interface ScheduleDefinition {
  readonly name: string;
  readonly contract: Schedulable;
  readonly input: (firing: Firing) => unknown;
  readonly timing: Timing;
  readonly rule: Rule;
  readonly place: string;
}

/** With its defaults. */
export type Rule = Required<MissedOptions>;

export function ruleOf({ missed, missedMax, graceMs }: MissedOptions): Rule {
  return {
    missed: missed ?? "last",
    missedMax: missedMax ?? missedMaxDefault,
    graceMs: graceMs ?? graceMsDefault,
  };
}

/** The options of one, for any contract. */
export interface GivenSchedule extends MissedOptions {
  readonly contract: Schedulable;
  readonly input: (firing: Firing) => unknown;
  readonly cron?: string | undefined;
  readonly timeZone?: string | undefined;
  readonly everyMs?: number | undefined;
}

export function scheduleDefinition(
  name: string,
  options: GivenSchedule,
  place: string,
): ScheduleDefinition {
  // JavaScript may give nothing at all, and the check at start says what is wrong.
  const given = Object(options) as GivenSchedule;
  const { contract, input, cron, timeZone, everyMs, ...missed } = given;
  const timing = {
    ...(cron !== undefined && { cron }),
    ...(timeZone !== undefined && { timeZone }),
    ...(everyMs !== undefined && { everyMs }),
  } as Timing;
  return { name, contract, input, timing, rule: ruleOf(missed), place };
}

const missedMaxDefault = 100;
const graceMsDefault = 60_000;
