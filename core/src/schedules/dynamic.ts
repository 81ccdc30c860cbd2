import type { ValueOf } from "../context.ts";
import { WaybillError } from "../errors.ts";
import type { ScheduleKey, ScheduleRow, ScheduleRows } from "../ports/schedule-rows.ts";
import type { Outgoing } from "../ports/transport.ts";
import { type Rule, type MissedOptions, type Schedulable, ruleOf } from "./definition.ts";
import { ruleFaults } from "./schedule-checks.ts";
import {
  type CronTiming,
  type EveryTiming,
  type Moments,
  type Timing,
  momentsOf,
  timingFaults,
  timingText,
} from "./timing.ts";

/** When a message that is made now is to leave: once, or again and again. */
export type ScheduleWhen = { readonly id: string } & (
  | { readonly at: Date; readonly cron?: never; readonly everyMs?: never }
  | (CronTiming & MissedOptions & { readonly at?: never; readonly everyMs?: never })
  | (EveryTiming & MissedOptions & { readonly at?: never; readonly cron?: never })
);

/** The verbs of schedules that are made while the service runs, in a transaction of its store. */
export interface ScheduleVerbs<Declared> {
  /**
   * Keeps a message in the store until its moment, or sends it at each moment of a timing. In place of one of that id that this service has
   * scheduled. Once it is due it leaves at least once: a one-off with `id` as its id, others with one made of `id` and the moment. Errors: OPTION_INVALID, MESSAGE_INVALID, BODY_TOO_LARGE.
   */
  schedule<C extends Extract<Declared, Schedulable>>(
    this: void,
    contract: C,
    value: ValueOf<C>,
    when: ScheduleWhen,
  ): Promise<{ readonly id: string }>;
  /** False: nothing of that id waits any more. */
  cancelSchedule(this: void, id: string): Promise<boolean>;
}

const idLengthMax = 256;

/** How a row says when it is due, and what becomes of what is missed. */
export interface Plan {
  readonly text: string;
  /** Undefined for a one-off. */
  readonly moments: Moments | undefined;
  readonly nextAt: number | undefined;
}

/** Error: OPTION_INVALID. */
export function planOf(when: ScheduleWhen, now: number): Plan {
  // JavaScript may give anything.
  const { id, at, missed, missedMax, graceMs, ...timing } = Object(when) as ScheduleWhen &
    MissedOptions;
  checkScheduleId(id);
  if (at !== undefined) return onceAt(at, id);
  const rule = ruleOf({
    ...(missed !== undefined && { missed }),
    ...(missedMax !== undefined && { missedMax }),
    ...(graceMs !== undefined && { graceMs }),
  });
  const [fault] = [...timingFaults(timing as Timing), ...ruleFaults(rule)];
  if (fault !== undefined)
    throw new WaybillError("OPTION_INVALID", `What is scheduled as "${id}" ${fault}.`);
  const moments = momentsOf(timing as Timing);
  const text = JSON.stringify({ ...(JSON.parse(timingText(timing as Timing)) as object), ...rule });
  return { text, moments, nextAt: moments.next(now) };
}

function onceAt(at: unknown, id: string): Plan {
  const nextAt = at instanceof Date ? at.getTime() : Number.NaN;
  if (Number.isFinite(nextAt))
    return { text: JSON.stringify({ at: nextAt }), moments: undefined, nextAt };
  throw new WaybillError(
    "OPTION_INVALID",
    `What is scheduled as "${id}" has no valid date as \`at\`. Give a Date.`,
  );
}

export function checkScheduleId(id: unknown): void {
  const isLegal =
    typeof id === "string" &&
    id !== "" &&
    id.length <= idLengthMax &&
    id.isWellFormed() &&
    !id.includes("\0");
  if (isLegal) return;
  throw new WaybillError(
    "OPTION_INVALID",
    `The id of what is scheduled takes text of 1 to ${idLengthMax} characters, by which it is replaced and cancelled.`,
  );
}

/** How a stored row is due; anybody may have written it. */
export interface StoredPlan {
  readonly timing: Timing | { readonly at: Date };
  readonly moments: Moments | undefined;
  readonly rule: Rule;
}

/** Throws a TypeError for what is none. */
export function readPlan(text: string): StoredPlan {
  const { at, missed, missedMax, graceMs, ...timing } = Object(JSON.parse(text)) as Partial<
    Rule & { at: unknown }
  >;
  const rule = ruleOf({ missed, missedMax, graceMs } as MissedOptions);
  if (typeof at === "number" && Number.isFinite(at))
    return { timing: { at: new Date(at) }, moments: undefined, rule };
  const [fault] = [...timingFaults(timing as Timing), ...ruleFaults(rule)];
  if (fault !== undefined) throw new TypeError(`what is stored of it ${fault}`);
  return { timing: timing as Timing, moments: momentsOf(timing as Timing), rule };
}

interface Kept {
  readonly service: string;
  readonly id: string;
  readonly contract: string;
  readonly outgoing: Outgoing;
  readonly plan: Plan;
}

/** Writes it, in place of one of its id. Error: OPTION_INVALID where the service declares a schedule of that name. */
export async function keep(
  rows: ScheduleRows,
  { service, id: name, contract, outgoing, plan }: Kept,
): Promise<void> {
  const row: ScheduleRow = {
    service,
    name,
    contract,
    timing: plan.text,
    outgoing,
    nextAt: plan.nextAt,
    lastAt: undefined,
    fired: 0,
    missed: 0,
    pausedAt: undefined,
    keptUntil: undefined,
    retiredAt: undefined,
    trouble: undefined,
  };
  // Whoever fires one takes it away between the two.
  while (!(await rows.insert(row))) {
    const found = await rows.load(row);
    if (found === undefined) continue;
    if (found.outgoing === undefined) throw declared(row);
    return rows.update(row);
  }
}

/** False: there is none. Error: OPTION_INVALID for one that its service declares. */
export async function cancelIn(rows: ScheduleRows, key: ScheduleKey): Promise<boolean> {
  const found = await rows.load(key);
  if (found === undefined) return false;
  if (found.outgoing === undefined && found.retiredAt === undefined) throw declared(key);
  return rows.remove(key);
}

function declared({ service, name }: ScheduleKey): WaybillError {
  return new WaybillError(
    "OPTION_INVALID",
    `"${name}" is the name of a schedule that the service "${service}" declares. Choose another id; a declared schedule is paused by bus.schedules.pause(), and ends when its service no longer declares it.`,
  );
}
