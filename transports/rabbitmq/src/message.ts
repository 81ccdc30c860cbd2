import {
  type Body,
  type Envelope,
  type Failure,
  type Header,
  type Position,
  type Settlement,
  WaybillError,
  bodyBytes,
} from "@waybill/core";
import {
  attributesIn,
  expiredFailure,
  failureIn,
  isMoment,
  parsedJson,
  shortFailure,
} from "@waybill/core/adapter";
import type { Message, Options } from "amqplib";

/**
 * A message as RabbitMQ carries it: CloudEvents' AMQP binding in binary mode (https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/amqp-protocol-binding.md),
 * whose application properties are headers of AMQP 0-9-1. What AMQP has a property for stands there as well, so that
 * a client without CloudEvents finds it. What is Waybill's alone begins with `waybill-`.
 */
export interface Written {
  readonly content: Buffer;
  readonly options: Options.Publish;
}

/** What travels beside the envelope. */
export interface Extras {
  /** Failed attempts before this one. */
  readonly attempts?: number;
  readonly failure?: Failure | undefined;
  readonly enqueuedAt: number;
  readonly notAfter?: number | undefined;
  readonly discardExpired?: boolean | undefined;
  /** Where it stood in a stream. */
  readonly position?: Position | undefined;
  /** Names a copy that we put somewhere, among all with the same id. */
  readonly copy?: string;
}

/** What was read beside the envelope. */
export interface Read {
  readonly envelope: Envelope;
  /** Failed attempts before it came to this queue. */
  readonly attempts: number;
  /** How often this queue has had it back: from a connection that ended, by a release, or by who looked at it. */
  readonly returns: number;
  readonly failure: Failure | undefined;
  readonly enqueuedAt: number;
  readonly notAfter: number | undefined;
  /** A sender of ours says both when it expires and how the header puts it; what was set aside keeps the header only. */
  readonly expiryLifted: boolean;
  readonly discardExpired: boolean;
  readonly position: Position | undefined;
  /** Empty as it was sent. */
  readonly copy: string;
}

const attributePrefix = "cloudEvents_";
const foreignPrefix = "cloudEvents:";
const attributesHeader = "waybill-attributes";
const textHeader = "waybill-text";
const attemptsHeader = "waybill-attempts";
const failureHeader = "waybill-failure";
const enqueuedHeader = "waybill-enqueued-at";
const notAfterHeader = "waybill-not-after";
const discardHeader = "waybill-discard-expired";
const copyHeader = "waybill-copy";
const positionHeader = "waybill-position";
const deliveryCountHeader = "x-delivery-count";

/** Characters of a failure's message and stack that travel: AMQP has 64 KiB for all headers. */
const failureTextMax = 8 * 1024;
const failureTextMin = 256;
/** Bytes of a short text of AMQP, such as an id. */
const propertyMax = 255;
/** Characters of all fields that are not Waybill's own, where a foreign producer filled the header so that nothing more would go in. */
const extensionsMax = 32 * 1024;

/** Throws BODY_TOO_LARGE. */
export function writeMessage(envelope: Envelope, extras: Extras, bodyBytesMax: number): Written {
  const { header, body } = envelope;
  const bytes = bodyBytes(body);
  if (bytes > bodyBytesMax)
    throw new WaybillError(
      "BODY_TOO_LARGE",
      `The body of ${header.type} ${header.id} has ${bytes} bytes; rabbitmq({ bodyBytesMax }) allows ${bodyBytesMax}. Send a reference to it.`,
      { details: { bytes, bodyBytesMax } },
    );
  const headers: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(header) as [keyof Header, unknown][]) {
    if (name === "attributes") headers[attributesHeader] = JSON.stringify(value);
    else if (name !== "datacontenttype" && value !== undefined)
      headers[`${attributePrefix}${name}`] = value;
  }
  if (typeof body === "string") headers[textHeader] = true;
  headers[enqueuedHeader] = extras.enqueuedAt;
  if (extras.attempts !== undefined && extras.attempts > 0)
    headers[attemptsHeader] = extras.attempts;
  if (extras.failure !== undefined)
    headers[failureHeader] = JSON.stringify(shortFailure(extras.failure, failureTextMax));
  if (extras.notAfter !== undefined) headers[notAfterHeader] = extras.notAfter;
  if (extras.discardExpired === true) headers[discardHeader] = true;
  if (extras.position !== undefined) {
    const { partition, offset } = extras.position;
    headers[positionHeader] = `${partition}:${offset}`;
  }
  if (extras.copy !== undefined) headers[copyHeader] = extras.copy;
  return {
    content: typeof body === "string" ? Buffer.from(body) : Buffer.from(body),
    options: {
      persistent: true,
      mandatory: true,
      ...property("messageId", header.id),
      ...property("type", header.type),
      ...property("contentType", header.datacontenttype),
      ...property("correlationId", header.correlationid),
      ...property("replyTo", header.replyto),
      headers,
    },
  };
}

/** What of a message's header and failure goes into the next copy; the first that fits is taken. */
export type Trim = (envelope: Envelope, extras: Extras) => readonly [Envelope, Extras];

/** All of it; with a short failure; without most of what a foreign producer had put in. */
export const trims: readonly Trim[] = [
  (envelope, extras) => [envelope, extras],
  (envelope, extras) => [envelope, withShortFailure(extras)],
  ({ header, body }, extras) => [{ header: trimmed(header), body }, withShortFailure(extras)],
];

function withShortFailure(extras: Extras): Extras {
  if (extras.failure === undefined) return extras;
  const { stack: _stack, message, ...failure } = extras.failure;
  return { ...extras, failure: { ...failure, message: message.slice(0, failureTextMin) } };
}

/** Of the largest fields, which no transport of ours writes, nothing is left. */
function trimmed(header: Header): Header {
  let left = extensionsMax;
  const kept = Object.entries(header)
    .map(([name, value]) => ({ name, value: value as unknown, size: sizeOf(name, value) }))
    .toSorted((one, other) => one.size - other.size)
    .filter(({ size }) => (left -= size) >= 0);
  return Object.fromEntries(kept.map(({ name, value }) => [name, value])) as unknown as Header;
}

function sizeOf(name: string, value: unknown): number {
  const written = typeof value === "string" ? value : (JSON.stringify(value) ?? "");
  return name.length + Buffer.byteLength(written);
}

/** The header says the same, and holds what is too long for a property. */
function property(
  name: "messageId" | "type" | "contentType" | "correlationId" | "replyTo",
  value: string | undefined,
): Options.Publish {
  return value === undefined || Buffer.byteLength(value) > propertyMax ? {} : { [name]: value };
}

/** Reads what anybody may have written. What is missing gets the meaning that CloudEvents or AMQP give it; what is nonsense counts as missing. */
export function readMessage(message: Message, now: number): Read {
  const { properties, content } = message;
  const headers = properties.headers ?? {};
  const enqueuedAt = moment(headers[enqueuedHeader]) ?? now;
  return {
    envelope: { header: headerOf(message, enqueuedAt), body: bodyOf(content, headers) },
    attempts: count(headers[attemptsHeader]),
    returns: count(headers[deliveryCountHeader]),
    failure: failureIn(parsedJson(text(headers[failureHeader]) ?? "")),
    enqueuedAt,
    notAfter: moment(headers[notAfterHeader]),
    expiryLifted: headers[enqueuedHeader] !== undefined && headers[notAfterHeader] === undefined,
    discardExpired: headers[discardHeader] === true,
    position: positionOf(headers[positionHeader]),
    copy: text(headers[copyHeader]) ?? "",
  };
}

/** Where it stands in a stream of RabbitMQ. Offsets rise; one is left out where the server begins a new segment. */
export function offsetOf({ properties }: Pick<Message, "properties">): number {
  return Number(properties.headers?.["x-stream-offset"]);
}

/** What becomes of a message that nobody took in time. */
export function expiryOf(read: Read): Settlement {
  if (read.discardExpired) return { kind: "complete" };
  const { envelope, notAfter, enqueuedAt, attempts } = read;
  const failure = expiredFailure(envelope.header.type, notAfter ?? enqueuedAt, attempts);
  return { kind: "deadLetter", failure };
}

function headerOf({ properties }: Message, enqueuedAt: number): Header {
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(properties.headers ?? {})) {
    if (name.startsWith(attributePrefix)) fields[name.slice(attributePrefix.length)] = value;
    else if (name.startsWith(foreignPrefix)) fields[name.slice(foreignPrefix.length)] = value;
  }
  const id = text(fields["id"]) ?? text(properties.messageId) ?? "";
  const correlationid = text(fields["correlationid"]) ?? text(properties.correlationId);
  const replyto = text(fields["replyto"]) ?? text(properties.replyTo);
  const attributes = attributesIn(parsedJson(text(properties.headers?.[attributesHeader]) ?? ""));
  return {
    ...fields,
    specversion: "1.0",
    id,
    source: text(fields["source"]) ?? text(properties.appId) ?? "",
    type: text(fields["type"]) ?? text(properties.type) ?? "",
    time: text(fields["time"]) ?? iso(properties.timestamp) ?? new Date(enqueuedAt).toISOString(),
    datacontenttype: text(properties.contentType) ?? "application/json",
    conversationid: text(fields["conversationid"]) ?? id,
    ...(correlationid !== undefined && { correlationid }),
    ...(replyto !== undefined && { replyto }),
    ...(attributes !== undefined && { attributes }),
  };
}

/** Text that was text, and JSON of others; bytes otherwise. */
function bodyOf(content: Buffer, headers: Readonly<Record<string, unknown>>): Body {
  return headers[textHeader] === true ? content.toString("utf8") : new Uint8Array(content);
}

function positionOf(value: unknown): Position | undefined {
  const [, partition, offset] = /^(\d+):(\d+)$/.exec(text(value) ?? "") ?? [];
  return partition === undefined
    ? undefined
    : { partition: Number(partition), offset: Number(offset) };
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function count(value: unknown): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : 0;
}

function moment(value: unknown): number | undefined {
  return isMoment(value) ? value : undefined;
}

/** Seconds since 1970, as AMQP has them. */
function iso(seconds: unknown): string | undefined {
  const date = typeof seconds === "number" ? new Date(seconds * 1_000) : undefined;
  return date === undefined || Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}
