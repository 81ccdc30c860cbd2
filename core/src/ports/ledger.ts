import type { Source } from "./transport.ts";

/**
 * How messages leave an address other than by being handled there.
 *
 * - duplicates: accepted and not stored, because the destination remembered them
 * - expired: deleted when their time was over, as their sender had asked (requests of calls); others become dead letters
 * - purged, discarded, cancelled (discarded while scheduled), replaced (by other content): by a person
 * - evicted: events nobody subscribes to, to make room for newer ones
 * - routed, filtered: at a topic, events that some subscription took; that none of those that name the type wanted
 * - republished: dead letters of a topic that found a subscription when they were replayed
 * - dropped: what stood at a temporary address when it ended
 * - skipped: items that left a stream before its group had read them, or that a seek passed over
 * - retention: items that left a stream
 * - forwarded: went on to where their address forwards
 */
export type LeftBy =
  | "duplicates"
  | "expired"
  | "purged"
  | "discarded"
  | "cancelled"
  | "replaced"
  | "evicted"
  | "routed"
  | "filtered"
  | "republished"
  | "dropped"
  | "skipped"
  | "retention"
  | "forwarded";

/** What a transport counts, in the same step as the change itself. `opening`: stood there when counting began. `copied`: dead letters that a group set aside. `repeated`: items that a seek put before a group again. */
export type BookLine = "accepted" | "opening" | "copied" | "repeated" | "completed" | LeftBy;

export type BookLines = { readonly [Line in BookLine]?: number };

/** What stands at an address, counted there and not in the book. */
export interface Standing {
  readonly ready: number;
  readonly inFlight: number;
  readonly scheduled: number;
  readonly deferred: number;
  readonly dead: number;
}

export const nothingStands: Standing = {
  ready: 0,
  inFlight: 0,
  scheduled: 0,
  deferred: 0,
  dead: 0,
};

/** accepted = completed + dead + deferred + waiting + left + retained, or the difference is not 0. */
export interface LedgerCounts {
  readonly accepted: number;
  readonly completed: number;
  readonly dead: number;
  readonly deferred: number;
  readonly waiting: Pick<Standing, "ready" | "inFlight" | "scheduled">;
  /** By name; only those above 0. */
  readonly left: { readonly [Name in LeftBy]?: number };
  /** Above 0: so many are missing. Below: so many are more than were accepted. */
  readonly difference: number;
  readonly balanced: boolean;
}

/** The books of one address, over all processes and restarts, read at one moment. */
export interface LedgerEntry extends LedgerCounts {
  /** As `addressOf` writes it; the name of a stream for its log; `#removed` for all temporary addresses that have ended. */
  readonly address: string;
  readonly kind: Source["kind"] | "topic" | "log" | "removed";
  /** Of `accepted`: stood there when the book was begun. */
  readonly opening: number;
  /** Of `accepted`: dead letters of a group. The item is completed, for the group has moved on, and its copy is accounted for besides. */
  readonly copied: number;
  /** Of `accepted`: items that were put before a group again, by a seek. */
  readonly repeated: number;
  /** Items that a log keeps. 0 for others. */
  readonly retained: number;
  /** Age in milliseconds of the first in line of what is ready or in flight; 0 when nothing is. */
  readonly oldestWaitingMs: number;
  /** Types that came here; "" stands for those beyond the first 100, and for the items of a group. */
  readonly contracts: readonly string[];
  /** The same by type, where several share the address and no more than 10,000 messages stand there; else empty. */
  readonly types: readonly LedgerType[];
}

export interface LedgerType extends LedgerCounts {
  readonly type: string;
}

/** Types that are told apart at one address, so that senders cannot make a book grow without end. Who came first has a line for ever; the others share "". */
export const bookTypesMax = 100;
/** Most messages that are counted by type. */
const typedMax = 10_000;

export interface LedgerParts extends Pick<LedgerEntry, "address" | "kind" | "oldestWaitingMs"> {
  /** By type. */
  readonly book: ReadonlyMap<string, BookLines>;
  readonly standing: Standing;
  readonly retained?: number;
  /** What stands there by type; asked where several share the address. */
  readonly byType?: () => ReadonlyMap<string, Standing>;
}

/** Draws up an entry from what was counted as it changed and what stands there. */
export function ledgerEntry(parts: LedgerParts): LedgerEntry {
  const { address, kind, book, standing, oldestWaitingMs, retained = 0 } = parts;
  const sums: { [Line in BookLine]?: number } = {};
  for (const lines of book.values())
    for (const [line, count] of Object.entries(lines) as [BookLine, number][])
      sums[line] = (sums[line] ?? 0) + count;
  const countTypes = book.size > 1 && total(standing) <= typedMax ? parts.byType : undefined;
  return {
    address,
    kind,
    ...balance(sums, standing, retained),
    opening: sums.opening ?? 0,
    copied: sums.copied ?? 0,
    repeated: sums.repeated ?? 0,
    retained,
    oldestWaitingMs,
    contracts: [...book.keys()],
    types: countTypes === undefined ? [] : typesOf(book, countTypes()),
  };
}

/** The account as a sum in words, what is 0 left out: `6 = completed 2 + dead 1 + purged 1 + ready 2`. */
export function equationOf(counts: LedgerCounts & { readonly retained?: number }): string {
  const { accepted, completed, left, dead, deferred, waiting, retained = 0, difference } = counts;
  const named = Object.entries(left).toSorted(([one], [other]) => one.localeCompare(other));
  const terms = [
    ["completed", completed],
    ...named,
    ...Object.entries({ dead, deferred, ...waiting, retained, MISSING: difference }),
  ] as const;
  const words = terms.filter(([, count]) => count !== 0).map(([name, count]) => `${name} ${count}`);
  return `${accepted} = ${words.join(" + ") || "nothing"}`;
}

/** What passes through an address without ever standing there is accepted, too. */
const passing: readonly LeftBy[] = ["duplicates", "routed", "filtered"];
const origins: readonly BookLine[] = ["accepted", "opening", "copied", "repeated"];

function balance(lines: BookLines, standing: Standing, retained: number): LedgerCounts {
  const { dead, deferred, ...waiting } = standing;
  const { completed = 0 } = lines;
  const left: { [Name in LeftBy]?: number } = {};
  let gone = 0;
  for (const [line, count] of Object.entries(lines) as [BookLine, number][]) {
    if (origins.includes(line) || line === "completed" || count === 0) continue;
    left[line as LeftBy] = count;
    gone += count;
  }
  let accepted = 0;
  for (const line of origins) accepted += lines[line] ?? 0;
  for (const line of passing) accepted += left[line] ?? 0;
  const difference = accepted - completed - gone - total(standing) - retained;
  const balanced = difference === 0;
  return { accepted, completed, dead, deferred, waiting, left, difference, balanced };
}

function typesOf(
  book: ReadonlyMap<string, BookLines>,
  standing: ReadonlyMap<string, Standing>,
): readonly LedgerType[] {
  const types = new Set([...book.keys(), ...standing.keys()]);
  return [...types].map((type) => ({
    type,
    ...balance(book.get(type) ?? {}, standing.get(type) ?? nothingStands, 0),
  }));
}

function total({ ready, inFlight, scheduled, deferred, dead }: Standing): number {
  return ready + inFlight + scheduled + deferred + dead;
}
