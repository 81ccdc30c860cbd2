import { jsonCodec } from "../codec.ts";
import { WaybillError, messageOf } from "../errors.ts";
import type { ViewRow } from "../ports/view-rows.ts";
import { fitting, isStorable, plain } from "../sagas/record.ts";
import { validated } from "../steps/validate.ts";
import type { ViewDefinition } from "./definition.ts";

/** A row as reducers see it. */
export interface ViewRecord {
  /** Undefined where there is none, or it was removed. */
  readonly state: unknown;
  readonly versions: Readonly<Record<string, number>>;
}

/** Most bytes of a row. */
export const viewRowBytesMax = 262_144;
const keyLengthMax = 256;

/**
 * What a row says. A table may have been written by anybody, also by a newer version of the same view; another process may know better, so the
 * error is retryable. Error: STATE_INVALID.
 */
export async function readRow(
  { name, state: schema }: Pick<ViewDefinition, "name" | "state">,
  row: ViewRow,
): Promise<ViewRecord> {
  try {
    const { body } = row;
    if (body !== undefined && Buffer.byteLength(body) > viewRowBytesMax)
      throw new TypeError(`it has more than ${viewRowBytesMax} bytes`);
    const versions = versionsOf(jsonCodec.decode(row.versions));
    const state =
      body === undefined ? undefined : await fitting(schema, jsonCodec.decode(body), "state");
    return { state, versions };
  } catch (cause) {
    throw new WaybillError(
      "STATE_INVALID",
      `The row "${row.key}" of the view "${name}" cannot be used: ${messageOf(cause)}. Let its schema take it, rebuild the view, or mend the row.`,
      { cause, retryable: true },
    );
  }
}

function versionsOf(value: unknown): ViewRecord["versions"] {
  const isRecord = typeof value === "object" && value !== null && !Array.isArray(value);
  if (isRecord && Object.values(value).every((each) => Number.isSafeInteger(each)))
    return value as ViewRecord["versions"];
  throw new TypeError("its versions are no whole numbers");
}

/**
 * A row as it is stored. Its state is validated as a later load will find it, so that nothing is saved that cannot be loaded. Errors:
 * MESSAGE_INVALID, BODY_TOO_LARGE.
 */
export async function writeRow(
  { name, state: schema }: Pick<ViewDefinition, "name" | "state">,
  key: string,
  { state, versions }: ViewRecord,
): Promise<Pick<ViewRow, "body" | "versions">> {
  const text = jsonCodec.encode(versions) as string;
  if (state === undefined) return { body: undefined, versions: text };
  const naming = { contract: name, what: "as a row of a view" };
  await validated(schema, plain(state, `The row "${key}" of the view "${name}"`), naming);
  const body = jsonCodec.encode(state) as string;
  const bytes = Buffer.byteLength(body);
  if (bytes <= viewRowBytesMax) return { body, versions: text };
  throw new WaybillError(
    "BODY_TOO_LARGE",
    `The row "${key}" of the view "${name}" has ${bytes} bytes; it may have ${viewRowBytesMax}. Spread it over several rows.`,
    { details: { bytes, bytesMax: viewRowBytesMax } },
  );
}

/** Throws MESSAGE_INVALID for what cannot name a row. */
export function checkKey(name: string, key: unknown): string {
  if (typeof key === "string" && key !== "" && key.length <= keyLengthMax && isStorable(key))
    return key;
  throw new WaybillError(
    "MESSAGE_INVALID",
    `The key of a row of the view "${name}" is text of 1 to ${keyLengthMax} characters, and this message gives ${typeof key === "string" ? `${key.length} characters` : typeof key}. Let \`key\` return the id of what the row is about.`,
  );
}
