import {
  type Body,
  type Envelope,
  type Failure,
  type Header,
  WaybillError,
  bodyBytes,
} from "@waybill/core";
import {
  attributesIn,
  expiredFailure,
  failureIn,
  parsedJson,
  shortFailure,
  wholeNumber,
} from "@waybill/core/adapter";
import type { MsgHdrs } from "@nats-io/transport-node";
import { HeaderLines } from "./header-lines.ts";

/**
 * A message as NATS carries it: CloudEvents' NATS binding in binary mode, a header `ce-<attribute>` for each attribute, encoded as the HTTP
 * binding does (https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/nats-protocol-binding.md). What is Waybill's alone begins with `waybill-`.
 */
export interface Written {
  readonly data: Uint8Array;
  readonly headers: HeaderLines;
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
const ownPrefix = "waybill-";
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
  const headers = new HeaderLines();
  for (const name in header) {
    const value = header[name as keyof Header];
    if (value === undefined) continue;
    headers.add(
      name === "attributes" ? attributesHeader : `${attributePrefix}${name}`,
      encoded(typeof value === "object" ? JSON.stringify(value) : String(value)),
    );
  }
  if (headers.bytes > headerBytesMax)
    throw new WaybillError(
      "MESSAGE_INVALID",
      `The header of ${header.type} ${header.id} has ${headers.bytes} bytes; NATS gets at most ${headerBytesMax}. Put less into attributes.`,
    );
  if (typeof body === "string") headers.add(textHeader, "true");
  writeExtras(headers, extras);
  return { data: Buffer.from(body), headers };
}

function writeExtras(headers: HeaderLines, extras: Extras): void {
  const { attempts = 0, failure, enqueuedAt, notBefore, notAfter } = extras;
  const { discardExpired, expiryLifted } = extras;
  if (attempts > 0) headers.add(attemptsHeader, String(attempts));
  if (failure !== undefined) headers.add(failureHeader, encoded(JSON.stringify(short(failure))));
  if (enqueuedAt !== undefined) headers.add(enqueuedHeader, String(enqueuedAt));
  if (notBefore !== undefined) headers.add(notBeforeHeader, String(notBefore));
  if (notAfter !== undefined) headers.add(notAfterHeader, String(notAfter));
  if (discardExpired === true) headers.add(discardHeader, "true");
  if (expiryLifted === true) headers.add(liftedHeader, "true");
}

/** Reads what anybody may have written. What is missing gets the meaning that CloudEvents or NATS give it; what is nonsense counts as missing. */
export function readMessage({ data, headers }: Raw, taken: Taken): Read {
  const fields: Fields = { ...noFields };
  const own: Record<string, string> = {};
  for (const [key, [value = ""]] of headers ?? []) {
    if (key.startsWith(ownPrefix)) {
      if (value !== "") own[key] = value;
      continue;
    }
    const name = key.toLowerCase();
    if (name.startsWith(attributePrefix))
      fields[name.slice(attributePrefix.length)] = decoded(value);
    else if (name === "content-type") own[name] ??= value;
  }
  const enqueuedAt = wholeNumber(own[enqueuedHeader]) ?? taken.at;
  return {
    envelope: {
      header: headerOf(fields, own, { ...taken, at: enqueuedAt }),
      body: bodyOf(data, own[textHeader]),
    },
    attempts: wholeNumber(own[attemptsHeader]) ?? 0,
    failure: failureIn(parsedJson(decoded(own[failureHeader] ?? ""))),
    enqueuedAt,
    notBefore: wholeNumber(own[notBeforeHeader]),
    notAfter: wholeNumber(own[notAfterHeader]),
    discardExpired: own[discardHeader] === "true",
    expiryLifted: own[liftedHeader] === "true",
  };
}

/** What NATS knows of a message by itself. */
export interface Taken {
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Stands for the id of a message that has none, and stays the same when it is delivered again. */
  readonly name: string;
}

type Fields = Record<string, unknown>;

/** Copied for each message: V8 would make those of a literal in the old generation, with all that they point at. */
const noFields = {
  specversion: "1.0",
  id: "",
  source: "",
  type: "",
  time: "",
  datacontenttype: "",
  conversationid: "",
} as const;

function headerOf(fields: Fields, own: Readonly<Record<string, string>>, taken: Taken): Header {
  fields["specversion"] = noFields.specversion;
  fields["id"] ||= taken.name;
  fields["time"] ||= new Date(taken.at).toISOString();
  fields["datacontenttype"] ||= own["content-type"] || "application/json";
  fields["conversationid"] ||= fields["id"];
  if ("calldepth" in fields) {
    const calldepth = wholeNumber(String(fields["calldepth"]));
    if (calldepth === undefined || fields["calldepth"] === "") delete fields["calldepth"];
    else fields["calldepth"] = calldepth;
  }
  const attributes = attributesIn(parsedJson(decoded(own[attributesHeader] ?? "")));
  if (attributes !== undefined) fields["attributes"] = attributes;
  return fields as unknown as Header;
}

/** Text that was text; bytes otherwise, in memory of their own. */
function bodyOf(data: Uint8Array, isText: string | undefined): Body {
  return isText === "true"
    ? Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("utf8")
    : new Uint8Array(data);
}

/** What is said of a message that nobody took in time. */
export function expiryOf({ envelope, notAfter, enqueuedAt }: Read, attempts: number): Failure {
  return expiredFailure(envelope.header.type, notAfter ?? enqueuedAt, attempts);
}

/** What fits beside a message. */
export function short(failure: Failure): Failure {
  return shortFailure(failure, failureTextMax);
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
