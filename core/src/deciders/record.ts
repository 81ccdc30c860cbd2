import { createHash } from "node:crypto";
import type { Event } from "@waybill/contracts";
import { jsonCodec } from "../codec.ts";
import { WaybillError, messageOf } from "../errors.ts";
import type { EventRow, SnapshotRow, StreamKey } from "../ports/event-rows.ts";
import { upcast } from "../steps/decode.ts";
import { validated } from "../steps/validate.ts";
import type { DeciderDefinition } from "./definition.ts";

/** An event as it was recorded, in the present version of its contract. */
export interface RecordedEvent<E extends Event = Event> {
  readonly key: string;
  /** 1 for the first of its key, one more for each. */
  readonly version: number;
  /** Also of the message with which it was published. */
  readonly id: string;
  /** Name of its contract. */
  readonly type: E["name"];
  /** The version of the contract that wrote it. */
  readonly contractVersion: number;
  readonly time: Date;
  readonly payload: E extends Event<string, infer Payload> ? Payload : never;
  readonly metadata: EventMetadata;
}

/** What led to an event. */
export interface EventMetadata {
  /** The id of the command. */
  readonly causationId?: string;
  /** The id of the first message of the conversation. */
  readonly conversationId?: string;
  /** W3C trace context of the command. */
  readonly traceparent?: string;
}

/** Most bytes of one event's payload. */
export const eventBytesMax = 1_048_576;
/** Most bytes of a state that is kept as a snapshot. */
export const snapshotBytesMax = 1_048_576;
const keyLengthMax = 256;

/** The payload as the contract has it now. A table may have been written by anybody, also by a newer version of the same decider. Error: STATE_INVALID, retryable. */
export async function readEvent(definition: DeciderDefinition, row: EventRow): Promise<unknown> {
  try {
    const contract = definition.events.find(({ name }) => name === row.type);
    if (contract === undefined)
      throw new TypeError(`"${row.type}" is none of its events; keep all that were ever decided`);
    if (Buffer.byteLength(row.body) > eventBytesMax)
      throw new TypeError(`it has more than ${eventBytesMax} bytes`);
    const older = jsonCodec.decode(row.body);
    const value = upcast(older, { contract, version: row.contractVersion });
    return await validated(contract.payload, value, { contract: contract.name, what: "stored" });
  } catch (cause) {
    throw new WaybillError(
      "STATE_INVALID",
      `Version ${row.version} of "${row.key}", decided by "${definition.name}", cannot be used: ${messageOf(cause)}. Let the contract take it, with an upcaster where its version has risen.`,
      { cause, retryable: true, details: { key: row.key, version: row.version } },
    );
  }
}

/** Undefined where it is of no use; the events are. */
export async function readSnapshot(
  { state: schema, name }: DeciderDefinition,
  { body }: SnapshotRow,
): Promise<{ readonly state: unknown } | undefined> {
  if (Buffer.byteLength(body) > snapshotBytesMax) return undefined;
  try {
    const naming = { contract: name, what: "as a snapshot" };
    return { state: await validated(schema, jsonCodec.decode(body), naming) };
  } catch {
    return undefined;
  }
}

/** The state as it is kept. Validated as a later load will find it. Errors: MESSAGE_INVALID, BODY_TOO_LARGE. */
export async function writeSnapshot(
  { state: schema, name }: DeciderDefinition,
  state: unknown,
): Promise<string> {
  const what = `the state of the decider "${name}"`;
  const body = textOf(state, what);
  await validated(schema, jsonCodec.decode(body), { contract: name, what: "as a snapshot" });
  const bytes = Buffer.byteLength(body);
  if (bytes <= snapshotBytesMax) return body;
  throw tooLarge(what, bytes, snapshotBytesMax);
}

/** An event as it is stored, and as it will be read. Errors: MESSAGE_INVALID, BODY_TOO_LARGE. */
export async function writeEvent(
  { name, payload: schema }: Event,
  payload: unknown,
): Promise<{ readonly body: string; readonly payload: unknown }> {
  const what = `"${name}"`;
  const body = textOf(payload, what);
  const bytes = Buffer.byteLength(body);
  if (bytes > eventBytesMax) throw tooLarge(what, bytes, eventBytesMax);
  const naming = { contract: name, what: "to be recorded" };
  return { body, payload: await validated(schema, jsonCodec.decode(body), naming) };
}

export function readMetadata(text: string): EventMetadata {
  try {
    const given = Object(jsonCodec.decode(text)) as Partial<Record<keyof EventMetadata, unknown>>;
    const known = (["causationId", "conversationId", "traceparent"] as const).flatMap((name) =>
      typeof given[name] === "string" ? [[name, given[name]]] : [],
    );
    return Object.fromEntries(known) as EventMetadata;
  } catch {
    return {};
  }
}

export async function recordedOf(
  definition: DeciderDefinition,
  row: EventRow,
): Promise<RecordedEvent> {
  const { key, version, id, type, contractVersion } = row;
  return {
    key,
    version,
    id,
    type,
    contractVersion,
    time: new Date(row.time),
    payload: await readEvent(definition, row),
    metadata: readMetadata(row.metadata),
  };
}

/**
 * Tells what made a snapshot: the text of `evolve` and `initial`, the versions of the contracts, and `stateVersion`, for what those functions call
 * stands elsewhere.
 */
export function fingerprintOf(definition: DeciderDefinition): string {
  const { events, evolve, initial, stateVersion } = definition;
  const parts = events.map(({ name, version }) => [name, version, String(evolve[name])]);
  return createHash("sha256")
    .update(JSON.stringify([stateVersion, String(initial), parts]))
    .digest("hex")
    .slice(0, 32);
}

/** Throws MESSAGE_INVALID for what cannot name a stream: those of different things must not meet under one key. */
export function checkKey(name: string, key: unknown): string {
  if (typeof key === "string" && key !== "" && key.length <= keyLengthMax && isStorable(key))
    return key;
  throw new WaybillError(
    "MESSAGE_INVALID",
    `The key of the decider "${name}" takes text of 1 to ${keyLengthMax} characters, and this command gives ${typeof key === "string" ? `${key.length} characters` : typeof key}. Let \`key\` return the id of what the command is about.`,
  );
}

/** No database takes a zero character in its text. */
function isStorable(key: string): boolean {
  return key.isWellFormed() && !key.includes("\0");
}

export function streamOf({ name }: DeciderDefinition, key: string): StreamKey {
  return { decider: name, key };
}

function textOf(value: unknown, what: string): string {
  try {
    return jsonCodec.encode(value) as string;
  } catch (cause) {
    throw new WaybillError("MESSAGE_INVALID", `${what} is not JSON: ${messageOf(cause)}.`, {
      cause,
    });
  }
}

function tooLarge(what: string, bytes: number, bytesMax: number): WaybillError {
  return new WaybillError(
    "BODY_TOO_LARGE",
    `${what} has ${bytes} bytes; it may have ${bytesMax}. Keep a reference to the data instead.`,
    { details: { bytes, bytesMax } },
  );
}
