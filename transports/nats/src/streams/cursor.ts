import { parsedJson } from "@waybill/core/adapter";

/** What is stored of a group in one partition. Whoever writes it writes all of it, against the revision that it has read. */
export interface Cursor {
  /** Everything below is done. */
  readonly committed: number;
  /** Everything from here on was never delivered. */
  readonly delivered: number;
  /** Attempts made at the item at `committed`; 0 where none was. */
  readonly attempt: number;
  /** The member that reads it; "" for nobody. */
  readonly owner: string;
  /** How often the group was put to another place. */
  readonly moved: number;
  /** What was put back to the group here: attempts made, by its sequence there; 0 when it is done and only has to be removed. */
  readonly replays: Readonly<Record<string, number>>;
}

export const unowned = "";

/** A group that begins at that offset. */
export function cursorAt(offset: number): Cursor {
  return {
    committed: offset,
    delivered: offset,
    attempt: 0,
    owner: unowned,
    moved: 0,
    replays: {},
  };
}

export function writeCursor(cursor: Cursor): string {
  return JSON.stringify(cursor);
}

/** Undefined for what nobody of us wrote. */
export function readCursor(text: string): Cursor | undefined {
  const read = parsedJson(text);
  if (typeof read !== "object" || read === null) return undefined;
  const { committed, delivered, attempt, owner, moved, replays } = read as Partial<Cursor>;
  if (
    !isCount(committed) ||
    !isCount(delivered) ||
    !isCount(attempt) ||
    !isCount(moved) ||
    typeof owner !== "string" ||
    typeof replays !== "object"
  )
    return undefined;
  return { committed, delivered, attempt, owner, moved, replays };
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
