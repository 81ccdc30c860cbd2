import { WaybillError } from "../errors.ts";
import type { SeekTarget } from "../ports/transport.ts";

/** What is retained of one partition. */
export interface RetainedRange {
  readonly partition: number;
  /** Offset of the oldest item. */
  readonly oldest: number;
  /** The offset that the next item gets. */
  readonly end: number;
  /** Offset of the first item that was taken in at that moment or later; `end` when there is none. */
  offsetAt(moment: number): number;
}

/** For transports: the offset that a target means in each partition that it names, within what is retained. Throws OPTION_INVALID. */
export function seekOffsets(
  to: SeekTarget,
  ranges: readonly RetainedRange[],
): ReadonlyMap<number, number> {
  if (typeof to === "object" && to !== null && "offsets" in to) return namedOffsets(to, ranges);
  return new Map(ranges.map((range) => [range.partition, offsetIn(to, range)]));
}

function offsetIn(
  to: Exclude<SeekTarget, { readonly offsets: unknown }>,
  range: RetainedRange,
): number {
  if (to === "start") return range.oldest;
  if (to === "end") return range.end;
  if (typeof to === "object" && to !== null && Number.isFinite(to.at)) return range.offsetAt(to.at);
  throw invalid(`to ${JSON.stringify(to)}`, 'Give "start", "end", { at } or { offsets }.');
}

function namedOffsets(
  { offsets }: Extract<SeekTarget, { readonly offsets: unknown }>,
  ranges: readonly RetainedRange[],
): ReadonlyMap<number, number> {
  const named = new Map<number, number>();
  for (const { partition, offset } of offsets) {
    const range = ranges.find((each) => each.partition === partition);
    if (range === undefined || named.has(partition) || !Number.isSafeInteger(offset)) {
      throw invalid(
        `partition ${partition} to offset ${offset}`,
        `Name each partition once, from 0 to ${ranges.length - 1}, with a whole number.`,
      );
    }
    named.set(partition, Math.min(range.end, Math.max(range.oldest, offset)));
  }
  return named;
}

function invalid(what: string, advice: string): WaybillError {
  return new WaybillError("OPTION_INVALID", `A group cannot seek ${what}. ${advice}`);
}

/** For transports: the least offset from `low` on, below `high`, whose item was taken in at that moment or later; else `high`. Looks at as many items as `high - low` has binary digits. */
export function firstSince(
  moment: number,
  { low, high }: { readonly low: number; readonly high: number },
  takenAt: (offset: number) => number,
): number {
  let from = low;
  let to = high;
  while (from < to) {
    const middle = Math.floor((from + to) / 2);
    if (takenAt(middle) < moment) from = middle + 1;
    else to = middle;
  }
  return from;
}
