import type { Feed, FeedCursor } from "@waybill/contracts";
import type { Header } from "../envelope.ts";
import { WaybillError, messageOf } from "../errors.ts";
import { validated } from "../steps/validate.ts";

const textMax = 256;
/** The longest that JSON makes of such a text, with room to spare. */
const headerMax = 8 * textMax;

/** Whether a value can be a cursor at all, whatever its contract says. */
export function isCursor(value: unknown): value is FeedCursor {
  return typeof value === "string" ? value.length <= textMax : Number.isFinite(value);
}

/** The cursor of an item. Error: ANSWER_INVALID when the contract finds none in it. */
export function cursorOf(feed: Feed, item: unknown): FeedCursor {
  let cursor: unknown;
  try {
    cursor = feed.resume?.of(item);
  } catch (cause) {
    throw noCursor(feed, messageOf(cause));
  }
  if (isCursor(cursor)) return cursor;
  throw noCursor(feed, `it is no text of at most ${textMax} characters and no finite number`);
}

function noCursor({ name }: Feed, why: string): WaybillError {
  return new WaybillError(
    "ANSWER_INVALID",
    `An item of "${name}" has no cursor: ${why}. Mend resume.of in its contract.`,
  );
}

/** As it travels: JSON, so that a number stays one. */
export function writeCursor(cursor: FeedCursor): string {
  return JSON.stringify(cursor);
}

/** The cursor that a caller hands in, checked by the contract; undefined from one that begins. Error: MESSAGE_INVALID. */
export async function readCursor(feed: Feed, header: Header): Promise<FeedCursor | undefined> {
  const text: unknown = header.resumefrom;
  if (text === undefined) return undefined;
  const refuse = (why: string): WaybillError =>
    new WaybillError("MESSAGE_INVALID", `"${feed.name}" cannot go on there: ${why}.`);
  if (feed.resume === undefined)
    throw refuse("its contract has no resume; are both sides on one version?");
  const cursor = typeof text === "string" && text.length <= headerMax ? parsed(text) : undefined;
  if (!isCursor(cursor))
    throw refuse(`a cursor is text of at most ${textMax} characters or a finite number`);
  return (await validated(feed.resume.cursor, cursor, {
    contract: feed.name,
    what: "as a cursor",
  })) as FeedCursor;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
