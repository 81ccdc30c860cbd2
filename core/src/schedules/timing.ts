import { Cron } from "croner";
import { messageOf } from "../errors.ts";
import { shown } from "../wiring/faults.ts";

/**
 * When a schedule is due, by a cron expression on the clock of a time zone: five fields (minute, hour, day of month, month, day of week), or six with
 * seconds before them; or the nicknames `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
 *
 * Where clocks are put forward, times that are given without wildcards (`30 2 * * *`) and are skipped come once, at the moment of the change; where clocks are
 * put back they come at the first of both. Where the seconds, minutes or hours have a `*` or a step, the schedule runs on as time does: what is skipped does not come,
 * and what is doubled comes twice.
 */
export interface CronTiming {
  readonly cron: string;
  /** Of the IANA, such as "Europe/Berlin". Default "UTC". */
  readonly timeZone?: string;
}

/** Due at the multiples of so many milliseconds since 1970, from one second to 366 days: the same moments in every process, which do not drift. */
export interface EveryTiming {
  readonly everyMs: number;
}

export type Timing = CronTiming | EveryTiming;

/** The moments of a timing, in milliseconds since 1970. */
export interface Moments {
  /** The first one after `instant`; undefined when none comes any more. */
  next(instant: number): number | undefined;
}

const everyMsLeast = 1_000;
const everyMsMost = 366 * 86_400_000;
const fields = ["minute", "hour", "day of month", "month", "day of week"] as const;
/** An expression that has no moment after this one has none. */
const someInstant = Date.UTC(2024, 0, 1);
const cronLengthMax = 256;

/** What is wrong with it, each the end of a sentence. JavaScript may give anything. */
export function timingFaults(timing: Timing): readonly string[] {
  const { cron, timeZone, everyMs } = timing as Partial<
    Record<keyof CronTiming | keyof EveryTiming, unknown>
  >;
  if ((cron === undefined) === (everyMs === undefined))
    return [
      cron === undefined
        ? "says neither cron nor everyMs; give one of them"
        : "says both cron and everyMs; give one of them",
    ];
  if (everyMs !== undefined) return everyFaults(everyMs, timeZone);
  if (typeof cron !== "string" || cron.length > cronLengthMax)
    return [`has the cron ${shown(cron)}; give text such as "0 3 * * *"`];
  const faults = cronFaults(cron);
  if (timeZone !== undefined && !isTimeZone(timeZone))
    return [
      ...faults,
      `has the timeZone ${shown(timeZone)}, which is not known here; give a name of the IANA such as "Europe/Berlin"`,
    ];
  if (faults.length === 0 && momentsOf(timing).next(someInstant) === undefined)
    return [`has the cron "${cron}", whose moment never comes`];
  return faults;
}

function everyFaults(everyMs: unknown, timeZone: unknown): readonly string[] {
  if (timeZone !== undefined)
    return [
      "says timeZone beside everyMs, which is the same everywhere; remove it, or give a cron",
    ];
  const isLegal =
    Number.isSafeInteger(everyMs) &&
    (everyMs as number) >= everyMsLeast &&
    (everyMs as number) <= everyMsMost;
  if (isLegal) return [];
  return [
    `has everyMs ${shown(everyMs)}; give milliseconds, a whole number from ${everyMsLeast} to ${everyMsMost}`,
  ];
}

/** Each faulty field by its name. */
function cronFaults(cron: string): readonly string[] {
  const whole = cronFault(cron);
  if (whole === undefined) return [];
  const parts = cron.trim().split(/\s+/);
  if (parts.length !== 5 && parts.length !== 6)
    return [
      `has the cron "${cron}" with ${cron.trim() === "" ? "no" : parts.length} fields; give five (${fields.join(", ")}), or six with seconds before them`,
    ];
  const names = parts.length === 6 ? ["second", ...fields] : fields;
  const faults = parts.flatMap((part, index) => {
    const alone = parts.map((_, at) => (at === index ? part : "*")).join(" ");
    const why = cronFault(alone);
    return why === undefined
      ? []
      : [`has ${shown(part)} as the ${names[index]} of the cron "${cron}": ${why}`];
  });
  return faults.length > 0 ? faults : [`has the cron "${cron}": ${whole}`];
}

function cronFault(cron: string): string | undefined {
  try {
    toCron({ cron });
    return undefined;
  } catch (error) {
    return messageOf(error).replace(/^Cron\w*: (?:Syntax error, )?/, "");
  }
}

function isTimeZone(timeZone: unknown): boolean {
  try {
    return typeof timeZone === "string" && timeZone !== "" && toFormat(timeZone) !== undefined;
  } catch {
    return false;
  }
}

function toFormat(timeZone: string): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat("en", { timeZone });
}

/** Of a timing without faults. */
export function momentsOf(timing: Timing): Moments {
  if ("everyMs" in timing && timing.everyMs !== undefined) {
    const { everyMs } = timing;
    return { next: (instant) => (Math.floor(instant / everyMs) + 1) * everyMs };
  }
  const cron = toCron(timing as CronTiming);
  return { next: (instant) => cron.nextRun(new Date(instant))?.getTime() };
}

/** It computes moments, and sets no timer. */
function toCron({ cron, timeZone = "UTC" }: CronTiming): Cron {
  return new Cron(cron.trim().replaceAll(/\s+/g, " "), {
    timezone: timeZone,
    paused: true,
    mode: "5-or-6-parts",
    fixedTimeRule: "no-wildcard",
  });
}

/** The same text for the same moments, as far as the words are the same. */
export function timingText(timing: Timing): string {
  const { cron, timeZone = "UTC" } = timing as CronTiming;
  return JSON.stringify(
    "everyMs" in timing && timing.everyMs !== undefined
      ? { everyMs: timing.everyMs }
      : { cron: cron.trim().replaceAll(/\s+/g, " "), timeZone },
  );
}

/** What is due between two moments, as far as anybody wants to know. */
export interface Due {
  /** The last of them, oldest first: `keep` at most. */
  readonly last: readonly number[];
  /** How many were before those, counted up to 1,000. */
  readonly earlier: number;
}

const countMax = 1_000;
/** No expression has two moments in one. */
const secondMs = 1_000;

/**
 * The due times from `from` (which is one) until `until`. Costs as much as what is kept and counted, however long that is: a schedule of every second may
 * have rested for a month.
 */
export function dueBetween(
  moments: Moments,
  { from, until, keep }: { readonly from: number; readonly until: number; readonly keep: number },
): Due {
  const all: number[] = [];
  for (
    let each: number | undefined = from;
    each !== undefined && each <= until;
    each = moments.next(each)
  ) {
    if (all.length === keep + countMax) {
      const last = lastOf(moments, { from, until, keep });
      return { last, earlier: countMax };
    }
    all.push(each);
  }
  const earlier = Math.max(0, all.length - keep);
  return { last: all.slice(earlier), earlier };
}

function lastOf(
  moments: Moments,
  { from, until, keep }: { readonly from: number; readonly until: number; readonly keep: number },
): readonly number[] {
  const last: number[] = [];
  let before = until + 1;
  let gap = secondMs;
  while (last.length < keep && before > from) {
    const found = lastBefore(moments, { from, before, gap });
    gap = Math.max(secondMs, before - found);
    before = found;
    last.unshift(found);
  }
  return last;
}

/** The last moment before `before`; there is one from `from` on. */
function lastBefore(
  moments: Moments,
  { from, before, gap }: { readonly from: number; readonly before: number; readonly gap: number },
): number {
  const nextOf = (instant: number): number => moments.next(instant) ?? Infinity;
  // `low` has a moment behind it and before `before`.
  let low = before - gap - 1;
  for (let width = gap * 4; low >= from && nextOf(low) >= before; width *= 4) low = before - width;
  low = Math.max(low, from - 1);
  let high = before;
  while (high - low > 1) {
    const found = nextOf(low);
    if (nextOf(found) >= before) return found;
    const middle = Math.floor((low + high) / 2);
    if (nextOf(middle) < before) low = middle;
    else high = middle;
  }
  return nextOf(low);
}
