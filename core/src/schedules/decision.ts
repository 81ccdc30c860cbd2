import type { ScheduleKey, ScheduleRow } from "../ports/schedule-rows.ts";
import type { Rule } from "./definition.ts";
import { type Moments, dueBetween } from "./timing.ts";

/** How long a timing is kept for processes that may have died. */
export const keepMs = 60_000;
/** A last firing that lies so far ahead was a mistake of the clock, and not one of those minutes by which clocks are corrected. */
const aheadMsMax = 86_400_000;

/** What a process knows of a schedule that its service declares. */
export interface Declared extends ScheduleKey {
  readonly contract: string;
  readonly timing: string;
  readonly moments: Moments;
  readonly rule: Rule;
}

/** One due time that fires now. */
export interface Fires {
  readonly due: number;
  /** Due times before it that do not. */
  readonly missed: number;
}

export interface Decision {
  /** What is to be stored; the one that was given where nothing changes. */
  readonly row: ScheduleRow;
  readonly fires: readonly Fires[];
  /** What happened to it that somebody should know. */
  readonly told: "takenOver" | "revived" | "clockMended" | undefined;
}

interface Situation {
  readonly now: number;
  /** This process has just come with its definition: what it says counts. */
  readonly isNew: boolean;
}

/**
 * What is to be done with a declared schedule now. Of processes with other timings (two versions of a service, while it is deployed) the one that has come
 * last counts, and any other only when none with that timing lives any more. So they neither fire beside each other nor take it from each other for ever.
 * Undefined: another version has it.
 */
export function decide(
  declared: Declared,
  stored: ScheduleRow | undefined,
  { now, isNew }: Situation,
): Decision | undefined {
  if (stored === undefined) return { row: fresh(declared, now), fires: [], told: undefined };
  const { moments } = declared;
  let row = stored;
  let told: Decision["told"];
  const isKept = (row.keptUntil ?? 0) > now;
  if (row.timing !== declared.timing) {
    if (isKept && !isNew) return undefined;
    row = { ...row, timing: declared.timing, nextAt: nextOf(row, moments, now) };
    told = "takenOver";
  }
  if (row.retiredAt !== undefined) {
    row = { ...row, retiredAt: undefined, nextAt: moments.next(now) };
    told = "revived";
  }
  if (isNew && row.contract !== declared.contract) row = { ...row, contract: declared.contract };
  if ((row.lastAt ?? 0) > now + aheadMsMax && row.pausedAt === undefined) {
    row = { ...row, lastAt: undefined, nextAt: moments.next(now) };
    told = "clockMended";
  }
  // Kept by whoever of its processes comes first, once in half of that time.
  if ((row.keptUntil ?? 0) < now + keepMs / 2 || told !== undefined)
    row = { ...row, keptUntil: now + keepMs };
  return { ...fire(row, { moments, rule: declared.rule, now }), told };
}

/** What is due of a schedule now, and how it stands then. */
export function fire(
  row: ScheduleRow,
  { moments, rule, now }: { moments: Moments; rule: Rule; now: number },
): Pick<Decision, "row" | "fires"> {
  const { nextAt, pausedAt, retiredAt } = row;
  if (nextAt === undefined || nextAt > now || pausedAt !== undefined || retiredAt !== undefined)
    return { row, fires: [] };
  const keep = rule.missed === "all" ? rule.missedMax : 1;
  const { last, earlier } = dueBetween(moments, { from: nextAt, until: now, keep });
  const newest = last.at(-1) ?? nextAt;
  const isTooLate = rule.missed === "skip" && now - newest > rule.graceMs;
  const fires = isTooLate
    ? []
    : last.map((due, index) => ({ due, missed: index === 0 ? earlier : 0 }));
  return {
    row: {
      ...row,
      nextAt: moments.next(now),
      lastAt: isTooLate ? row.lastAt : newest,
      fired: row.fired + fires.length,
      missed: row.missed + earlier + (isTooLate ? last.length : 0),
      trouble: undefined,
    },
    fires,
  };
}

/** What the old timing had not fired yet is due by the new one, if that has a moment since. Nothing is due that has fired. */
function nextOf(
  { nextAt, lastAt, pausedAt }: ScheduleRow,
  moments: Moments,
  now: number,
): number | undefined {
  if (pausedAt !== undefined) return undefined;
  const since = Math.min(now, (nextAt ?? now) - 1);
  return moments.next(Math.max(since, Math.min(lastAt ?? since, now)));
}

function fresh({ service, name, contract, timing, moments }: Declared, now: number): ScheduleRow {
  return {
    service,
    name,
    contract,
    timing,
    outgoing: undefined,
    nextAt: moments.next(now),
    lastAt: undefined,
    fired: 0,
    missed: 0,
    pausedAt: undefined,
    keptUntil: now + keepMs,
    retiredAt: undefined,
    trouble: undefined,
  };
}
