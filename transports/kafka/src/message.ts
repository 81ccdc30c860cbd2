import { type Envelope, type Failure, type Header, WaybillError, bodyBytes } from "@waybill/core";
import {
  attributesIn,
  expiredFailure,
  failureIn,
  parsedJson,
  shortFailure,
  wholeNumber,
} from "@waybill/core/adapter";

/**
 * A message as Kafka carries it: CloudEvents' Kafka binding in binary mode, a header `ce_<attribute>` for each attribute and `content-type`,
 * the partition key as the record's key (https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md).
 * What is Waybill's alone begins with `waybill-`.
 */
export interface Written {
  readonly key?: Buffer;
  readonly value: Buffer;
  readonly headers: Map<Buffer, Buffer>;
}

/** What travels beside the envelope. */
export interface Extras {
  /** Failed attempts before it came here. */
  readonly attempts?: number;
  readonly failure?: Failure | undefined;
  /** Absent: Kafka's own time counts. */
  readonly enqueuedAt?: number | undefined;
  readonly notAfter?: number | undefined;
  readonly discardExpired?: boolean | undefined;
  /** It was set aside, and somebody gave it back. */
  readonly expiryLifted?: boolean | undefined;
  /** Where it stood at first, of which its handle is made. */
  readonly token?: string | undefined;
  /** The temporary queue it is for. */
  readonly to?: string | undefined;
}

/** What was read beside the envelope. */
export interface Read {
  readonly envelope: Envelope;
  readonly attempts: number;
  readonly failure: Failure | undefined;
  readonly enqueuedAt: number;
  readonly notAfter: number | undefined;
  readonly discardExpired: boolean;
  readonly expiryLifted: boolean;
  readonly token: string | undefined;
}

/** A record as it lies in a partition. */
export interface Stored {
  readonly topic: string;
  readonly partition: number;
  readonly offset: bigint;
  readonly timestampMs: number;
  readonly key: Buffer | null;
  /** Null for a tombstone. */
  readonly value: Buffer | null;
  readonly headers: readonly (readonly [Buffer | null, Buffer | null])[];
}

const attributePrefix = "ce_";
const contentType = "content-type";
const own = {
  attributes: "waybill-attributes",
  text: "waybill-text",
  attempts: "waybill-attempts",
  failure: "waybill-failure",
  enqueuedAt: "waybill-enqueued-at",
  notAfter: "waybill-not-after",
  discard: "waybill-discard-expired",
  lifted: "waybill-expiry-lifted",
  token: "waybill-token",
  to: "waybill-to",
} as const;
const keys = new Map<string, Buffer>();

/** Of the largest record, what is kept for headers and for the failure that a dead letter gets. */
const headerBytesMax = 64 * 1024;
export const reservedBytes: number = 2 * headerBytesMax;
const failureTextMax = 12 * 1024;

/** Throws BODY_TOO_LARGE or MESSAGE_INVALID. Without a bound it does not: of what others produced, the brokers judge. */
export function writeMessage(envelope: Envelope, extras: Extras, bodyBytesMax?: number): Written {
  const { header, body } = envelope;
  const bytes = bodyBytes(body);
  if (bodyBytesMax !== undefined && bytes > bodyBytesMax)
    throw new WaybillError(
      "BODY_TOO_LARGE",
      `The body of ${header.type} ${header.id} has ${bytes} bytes; ${bodyBytesMax} are allowed. Raise the brokers' message.max.bytes and kafka({ messageBytesMax }), or send a reference.`,
      { details: { bytes, bodyBytesMax } },
    );
  const headers = new Map<Buffer, Buffer>();
  let headerBytes = 0;
  for (const name in header) {
    const value = header[name as keyof Header];
    if (value === undefined) continue;
    const text = typeof value === "object" ? JSON.stringify(value) : String(value);
    headerBytes += set(headers, headerName(name), text);
  }
  if (bodyBytesMax !== undefined && headerBytes > headerBytesMax)
    throw new WaybillError(
      "MESSAGE_INVALID",
      `The header of ${header.type} ${header.id} has ${headerBytes} bytes; Kafka gets at most ${headerBytesMax}. Put less into attributes.`,
    );
  if (typeof body === "string") set(headers, own.text, "true");
  writeExtras(headers, extras);
  const { partitionkey } = header;
  return {
    value: Buffer.from(body),
    headers,
    ...(partitionkey !== undefined && { key: Buffer.from(partitionkey) }),
  };
}

function headerName(field: string): string {
  if (field === "attributes") return own.attributes;
  return field === "datacontenttype" ? contentType : `${attributePrefix}${field}`;
}

function set(headers: Map<Buffer, Buffer>, name: string, text: string): number {
  let key = keys.get(name);
  if (key === undefined) {
    key = Buffer.from(name);
    // Foreign extensions have names of their own; the bound is only against memory.
    if (keys.size < knownKeysMax) keys.set(name, key);
  }
  const value = Buffer.from(text);
  headers.set(key, value);
  return key.byteLength + value.byteLength;
}

const knownKeysMax = 1_000;

function writeExtras(headers: Map<Buffer, Buffer>, extras: Extras): void {
  const { attempts = 0, failure, enqueuedAt, notAfter, token, to } = extras;
  if (attempts > 0) set(headers, own.attempts, String(attempts));
  if (failure !== undefined)
    set(headers, own.failure, JSON.stringify(shortFailure(failure, failureTextMax)));
  if (enqueuedAt !== undefined) set(headers, own.enqueuedAt, String(enqueuedAt));
  if (notAfter !== undefined) set(headers, own.notAfter, String(notAfter));
  if (extras.discardExpired === true) set(headers, own.discard, "true");
  if (extras.expiryLifted === true) set(headers, own.lifted, "true");
  if (token !== undefined) set(headers, own.token, token);
  if (to !== undefined) set(headers, own.to, to);
}

/** Reads what anybody may have written. What is missing gets the meaning that CloudEvents or Kafka give it; what is nonsense counts as missing. */
export function readMessage(stored: Stored): Read {
  const headers = headersOf(stored);
  const enqueuedAt = wholeNumber(headers.get(own.enqueuedAt)) ?? stored.timestampMs;
  const value = stored.value ?? Buffer.alloc(0);
  return {
    envelope: {
      header: headerOf(headers, stored, enqueuedAt),
      // What is handed over lies in memory of its own.
      body: headers.get(own.text) === "true" ? value.toString("utf8") : new Uint8Array(value),
    },
    attempts: wholeNumber(headers.get(own.attempts)) ?? 0,
    failure: failureIn(parsedJson(headers.get(own.failure) ?? "")),
    enqueuedAt,
    notAfter: wholeNumber(headers.get(own.notAfter)),
    discardExpired: headers.get(own.discard) === "true",
    expiryLifted: headers.get(own.lifted) === "true",
    token: headers.get(own.token),
  };
}

/** The temporary queue that a record of the shared topic is for. */
export function addresseeOf(stored: Stored): string | undefined {
  return headersOf(stored).get(own.to);
}

/** The type that a record names, without reading the rest. */
export function typeOf({ headers }: Stored): string {
  for (const [key, value] of headers)
    if (key?.toString() === `${attributePrefix}type`) return value?.toString() ?? "";
  return "";
}

export function headersOf({ headers }: Stored): ReadonlyMap<string, string> {
  const read = new Map<string, string>();
  for (const [key, value] of headers)
    if (key !== null && value !== null) read.set(key.toString(), value.toString());
  return read;
}

function headerOf(headers: ReadonlyMap<string, string>, stored: Stored, at: number): Header {
  const fields: Record<string, unknown> = {};
  for (const [key, value] of headers)
    if (key.startsWith(attributePrefix)) fields[key.slice(attributePrefix.length)] = value;
  const text = (name: string): string | undefined => {
    const value = fields[name];
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  // Stays the same when it is read again.
  const id = text("id") ?? `${stored.topic}-${stored.partition}-${stored.offset}`;
  const calldepth = wholeNumber(text("calldepth"));
  delete fields["calldepth"];
  const attributes = attributesIn(parsedJson(headers.get(own.attributes) ?? ""));
  const key = text("partitionkey") ?? keyOf(stored);
  return {
    ...fields,
    specversion: "1.0",
    id,
    source: text("source") ?? "",
    type: text("type") ?? "",
    time: text("time") ?? timeOf(at),
    datacontenttype: headers.get(contentType) || "application/json",
    conversationid: text("conversationid") ?? id,
    ...(key !== undefined && { partitionkey: key }),
    ...(calldepth !== undefined && { calldepth }),
    ...(attributes !== undefined && { attributes }),
  };
}

/** The first moment for what is no moment: anybody may write any number. */
function timeOf(at: number): string {
  return new Date(Math.abs(at) <= momentMax ? at : 0).toISOString();
}

const momentMax = 8_640_000_000_000_000;

/** Of a producer that knows nothing of CloudEvents. */
function keyOf({ key }: Stored): string | undefined {
  return key === null || key.byteLength === 0 ? undefined : key.toString();
}

/** What is said of a message that nobody took in time. */
export function expiryOf({ envelope, notAfter, enqueuedAt }: Read, attempts: number): Failure {
  return expiredFailure(envelope.header.type, notAfter ?? enqueuedAt, attempts);
}
