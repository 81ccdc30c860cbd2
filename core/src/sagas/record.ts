import { type Schema, validate } from "@waybill/contracts";
import { jsonCodec } from "../codec.ts";
import { WaybillError, messageOf } from "../errors.ts";
import type { SagaRow } from "../ports/saga-rows.ts";
import { validated } from "../steps/validate.ts";
import type { SagaDefinition } from "./definition.ts";

/** What `compensate` is to send. */
export interface Undo {
  readonly command: string;
  readonly input: unknown;
}

/** What a saga keeps beside its phase. */
export interface SagaBody {
  readonly state: unknown;
  /** In the order of noting. */
  readonly undo: readonly Undo[];
  /** By name: the token of each that is set. */
  readonly timeouts: Readonly<Record<string, string>>;
}

/** Most bytes of a saga's body, what it notes to undo included. */
export const sagaBytesMax = 262_144;
const undoMax = 1_000;
const idLengthMax = 256;

/**
 * What a row says. A table may have been written by anybody, also by a newer version of the same saga, so nothing is taken as it is; another
 * process may know better, so the error is retryable. Error: STATE_INVALID.
 */
export async function readSaga(definition: SagaDefinition, row: SagaRow): Promise<SagaBody> {
  try {
    if (!definition.phases.includes(row.phase))
      throw new TypeError(`its phase "${row.phase}" is none that is known here`);
    if (!Number.isSafeInteger(row.version) || row.version < 1)
      throw new TypeError(`its version is ${row.version}`);
    if (Buffer.byteLength(row.body) > sagaBytesMax)
      throw new TypeError(`it has more than ${sagaBytesMax} bytes`);
    const { state, undo, timeouts } = shapeOf(jsonCodec.decode(row.body));
    return { state: await fitting(definition.state, state, "state"), undo, timeouts };
  } catch (cause) {
    throw new WaybillError(
      "STATE_INVALID",
      `What is stored of the saga "${definition.name}" with the id "${row.id}" cannot be used: ${messageOf(cause)}. Let its schema and its phases take it, or mend the row.`,
      { cause, retryable: true },
    );
  }
}

function shapeOf(body: unknown): SagaBody {
  const { state, undo, timeouts } = Object(body) as Partial<SagaBody>;
  const isList = Array.isArray(undo) && undo.every((each) => isText(Object(each).command));
  if (!isList) throw new TypeError("what it is to undo is no list of commands");
  const isTokens =
    typeof timeouts === "object" && timeouts !== null && Object.values(timeouts).every(isText);
  if (!isTokens) throw new TypeError("its timeouts have no tokens");
  return { state, undo: undo as readonly Undo[], timeouts };
}

/**
 * The body as it is stored. The state is validated as a later load will find it, so that nothing is saved that cannot be loaded. Errors:
 * MESSAGE_INVALID, BODY_TOO_LARGE.
 */
export async function writeSaga(
  { name, state: schema }: SagaDefinition,
  id: string,
  body: SagaBody,
): Promise<string> {
  const naming = { contract: name, what: "as the state of a saga" };
  await validated(schema, plain(body.state, `the state of the saga "${name}"`), naming);
  const text = jsonCodec.encode(body) as string;
  const bytes = Buffer.byteLength(text);
  if (bytes <= sagaBytesMax && body.undo.length <= undoMax) return text;
  throw new WaybillError(
    "BODY_TOO_LARGE",
    `The saga "${name}" with the id "${id}" has ${bytes} bytes, with ${body.undo.length} commands to undo; it may have ${sagaBytesMax} bytes and ${undoMax} of those. Keep a reference to the data instead.`,
    { details: { bytes, bytesMax: sagaBytesMax } },
  );
}

/** A value as JSON brings it back. Error: MESSAGE_INVALID. */
export function plain(value: unknown, what: string): unknown {
  try {
    return jsonCodec.decode(jsonCodec.encode(value));
  } catch (cause) {
    throw new WaybillError("MESSAGE_INVALID", `${what} is not JSON: ${messageOf(cause)}.`, {
      cause,
    });
  }
}

/** Throws MESSAGE_INVALID for what cannot name a saga: sagas of different people must not meet under one id. */
export function checkId(name: string, id: unknown): string {
  if (typeof id === "string" && id !== "" && id.length <= idLengthMax && isStorable(id)) return id;
  throw new WaybillError(
    "MESSAGE_INVALID",
    `The id of the saga "${name}" takes text of 1 to ${idLengthMax} characters, and this message gives ${typeof id === "string" ? `${id.length} characters` : typeof id}. Let \`by\` return the id of what the saga is about.`,
  );
}

/** No database takes a zero character in its text. */
export function isStorable(id: string): boolean {
  return id.isWellFormed() && !id.includes("\0");
}

/** What was stored, as its schema gives it. Throws what does not fit. */
export async function fitting(schema: Schema, value: unknown, what: string): Promise<unknown> {
  const result = await validate(schema, value);
  if (!("issues" in result) || result.issues === undefined)
    return (result as { readonly value: unknown }).value;
  const list = result.issues.map(({ path, message }) => `${path === "" ? what : path}: ${message}`);
  throw new TypeError(`its ${what} does not fit: ${list.join("; ")}`);
}

function isText(value: unknown): boolean {
  return typeof value === "string";
}
