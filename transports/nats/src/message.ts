import {
  type Body,
  type Envelope,
  type Failure,
  type Header,
  WaybillError,
  bodyBytes,
} from "@waybill/core";
import type { Attributes } from "@waybill/contracts";
import { type MsgHdrs, headers as newHeaders } from "@nats-io/transport-node";

/**
 * A message as NATS carries it: CloudEvents' NATS binding in binary mode, a header `ce-<attribute>` for each attribute, encoded as the HTTP
 * binding does (https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md). What is Waybill's alone begins with `waybill-`.
 */
export interface Written {
  readonly data: Uint8Array;
  readonly headers: MsgHdrs;
}

/** What travels beside the envelope. */
export interface Extras {
  /** Failed attempts before it came here. */
  readonly attempts?: number;
  readonly failure?: Failure | undefined;
  /** Absent: NATS's own time counts. */
  readonly enqueuedAt?: number;
  readonly notBefore?: number | undefined;
  readonly notAfter?: number | undefined;
  readonly discardExpired?: boolean | undefined;
  /** It was set aside, and somebody gave it back. */
  readonly expiryLifted?: boolean;
}

/** What was read beside the envelope. */
export interface Read {
  readonly envelope: Envelope;
  readonly attempts: number;
  readonly failure: Failure | undefined;
  readonly enqueuedAt: number;
  readonly notBefore: number | undefined;
  readonly notAfter: number | undefined;
  readonly discardExpired: boolean;
  readonly expiryLifted: boolean;
}

/** A message as nats.js hands it over, from a consumer or by its sequence. */
export interface Raw {
  readonly data: Uint8Array;
  readonly headers?: MsgHdrs | undefined;
}

const attributePrefix = "ce-";
const attributesHeader = "waybill-attributes";
const textHeader = "waybill-text";
const attemptsHeader = "waybill-attempts";
const failureHeader = "waybill-failure";
const enqueuedHeader = "waybill-enqueued-at";
const notBeforeHeader = "waybill-not-before";
const notAfterHeader = "waybill-not-after";
const discardHeader = "waybill-discard-expired";
const liftedHeader = "waybill-expiry-lifted";

/** Of a server's `max_payload`, what is kept for headers and for the failure that a dead letter gets. */
const headerBytesMax = 64 * 1024;
export const reservedBytes: number = 2 * headerBytesMax;
/** Characters of a failure's message and stack that travel; encoded, one may take nine bytes. */
const failureTextMax = 3 * 1024;

/** Throws BODY_TOO_LARGE or MESSAGE_INVALID. */
export function writeMessage(envelope: Envelope, extras: Extras, bodyBytesMax: number): Written {
  const { header, body } = envelope;
  const bytes = bodyBytes(body);
  if (bytes > bodyBytesMax)
    throw new WaybillError(
      "BODY_TOO_LARGE",
      `The body of ${header.type} ${header.id} has ${bytes} bytes; the server's max_payload allows ${bodyBytesMax}. Raise it there, or send a reference.`,
      { details: { bytes, bodyBytesMax } },
    );
  const headers = newHeaders();
  let headerBytes = 0;
  for (const [name, value] of Object.entries(header) as [keyof Header, Header[keyof Header]][]) {
    if (value === undefined) continue;
    const key = name === "attributes" ? attributesHeader : `${attributePrefix}${name}`;
    const text = encoded(typeof value === "object" ? JSON.stringify(value) : String(value));
    headerBytes += key.length + text.length;
    headers.set(key, text);
  }
  if (headerBytes > headerBytesMax)
    throw new WaybillError(
      "MESSAGE_INVALID",
      `The header of ${header.type} ${header.id} has ${headerBytes} bytes; NATS gets at most ${headerBytesMax}. Put less into attributes.`,
    );
  if (typeof body === "string") headers.set(textHeader, "true");
  writeExtras(headers, extras);
  return { data: Buffer.from(body), headers };
}

function writeExtras(headers: MsgHdrs, extras: Extras): void {
  const { attempts = 0, failure, enqueuedAt, notBefore, notAfter } = extras;
  const { discardExpired, expiryLifted } = extras;
  if (attempts > 0) headers.set(attemptsHeader, String(attempts));
  if (failure !== undefined) headers.set(failureHeader, encoded(JSON.stringify(short(failure))));
  if (enqueuedAt !== undefined) headers.set(enqueuedHeader, String(enqueuedAt));
  if (notBefore !== undefined) headers.set(notBeforeHeader, String(notBefore));
  if (notAfter !== undefined) headers.set(notAfterHeader, String(notAfter));
  if (discardExpired === true) headers.set(discardHeader, "true");
  if (expiryLifted === true) headers.set(liftedHeader, "true");
}

/** Reads what anybody may have written. What is missing gets the meaning that CloudEvents or NATS give it; what is nonsense counts as missing. */
export function readMessage({ data, headers }: Raw, taken: Taken): Read {
  const header = (name: string): string | undefined => {
    const value = headers?.get(name) ?? "";
    return value === "" ? undefined : value;
  };
  const enqueuedAt = count(header(enqueuedHeader)) ?? taken.at;
  return {
    envelope: {
      header: headerOf(headers, { ...taken, at: enqueuedAt }),
      body: bodyOf(data, header(textHeader)),
    },
    attempts: count(header(attemptsHeader)) ?? 0,
    failure: failureOf(header(failureHeader)),
    enqueuedAt,
    notBefore: count(header(notBeforeHeader)),
    notAfter: count(header(notAfterHeader)),
    discardExpired: header(discardHeader) === "true",
    expiryLifted: header(liftedHeader) === "true",
  };
}

/** What NATS knows of a message by itself. */
export interface Taken {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Stands for the id of a message that has none, and stays the same when it is delivered again. */
  readonly name: string;
}

function headerOf(headers: MsgHdrs | undefined, taken: Taken): Header {
  const fields: Record<string, unknown> = {};
  for (const key of headers?.keys() ?? []) {
    const name = key.toLowerCase();
    if (!name.startsWith(attributePrefix)) continue;
    fields[name.slice(attributePrefix.length)] = decoded(headers?.get(key) ?? "");
  }
  const text = (name: string): string | undefined => {
    const value = fields[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const id = text("id") ?? taken.name;
  const calldepth = count(text("calldepth"));
  delete fields["calldepth"];
  const attributes = attributesOf(headers?.get(attributesHeader));
  return {
    ...fields,
    specversion: "1.0",
    id,
    source: text("source") ?? "",
    type: text("type") ?? "",
    time: text("time") ?? new Date(taken.at).toISOString(),
    datacontenttype: text("datacontenttype") ?? contentType(headers) ?? "application/json",
    conversationid: text("conversationid") ?? id,
    ...(calldepth !== undefined && { calldepth }),
    ...(attributes !== undefined && { attributes }),
  };
}

function contentType(headers: MsgHdrs | undefined): string | undefined {
  const value = headers?.get("content-type") || headers?.get("Content-Type");
  return value === undefined || value === "" ? undefined : value;
}

/** Text that was text; bytes otherwise, in memory of their own. */
function bodyOf(data: Uint8Array, isText: string | undefined): Body {
  return isText === "true" ? Buffer.from(data).toString("utf8") : new Uint8Array(data);
}

/** What is said of a message that nobody took in time. */
export function expiryOf({ envelope, notAfter, enqueuedAt }: Read, attempts: number): Failure {
  const at = notAfter ?? enqueuedAt;
  return {
    reason: "EXPIRED",
    message: `"${envelope.header.type}" was of use until ${new Date(at).toISOString()}, and was not handled by then.`,
    service: "",
    handler: "",
    attempts,
    firstFailedAt: at,
    lastFailedAt: at,
  };
}

function attributesOf(value: string | undefined): Attributes | undefined {
  const read = parsed(decoded(value ?? ""));
  if (typeof read !== "object" || read === null || Array.isArray(read)) return undefined;
  return read as Attributes;
}

function failureOf(value: string | undefined): Failure | undefined {
  return value === undefined ? undefined : readFailure(parsed(decoded(value)));
}

export function readFailure(read: unknown): Failure | undefined {
  if (typeof read !== "object" || read === null || !("reason" in read)) return undefined;
  return read as Failure;
}

export function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function short(failure: Failure): Failure {
  return {
    ...failure,
    message: failure.message.slice(0, failureTextMax),
    ...(failure.stack !== undefined && { stack: failure.stack.slice(0, failureTextMax) }),
  };
}

/** As CloudEvents' HTTP binding encodes header values: everything but printable ASCII, and what would be misread. */
function encoded(text: string): string {
  if (/^[\x21\x23\x24\x26-\x7e]*$/.test(text)) return text;
  return text
    .toWellFormed()
    .replace(/[^\x21\x23\x24\x26-\x7e]+/g, (part) =>
      Array.from(
        Buffer.from(part),
        (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`,
      ).join(""),
    );
}

/** What was not encoded, or wrongly, stays as it is. */
function decoded(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function count(text: string | undefined): number | undefined {
  const value = text === undefined ? Number.NaN : Number(text);
  return Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}
