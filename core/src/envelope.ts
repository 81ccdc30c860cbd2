import type { Attributes } from "@waybill/contracts";

/**
 * A message body as it travels: a string is UTF-8 text. Text stays a string because JSON codecs, SQLite and
 * most clients convert it once themselves; two conversions per message are measurable.
 */
export type Body = string | Uint8Array;

/**
 * The header of a message: CloudEvents 1.0 context attributes (https://github.com/cloudevents/spec) plus the
 * extensions Waybill uses. Timestamps are RFC 3339 text in UTC.
 */
export interface Header {
  readonly specversion: "1.0";
  readonly id: string;
  /** The sending service, as a URI reference: `/services/ordering`. */
  readonly source: string;
  /** The contract's name. */
  readonly type: string;
  readonly subject?: string;
  readonly time: string;
  /** What the codec wrote. What was done to it afterwards stands in `contentencoding`. */
  readonly datacontenttype: string;
  /** What the sender's wire did to the body, in that order: `brotli, jwe, jws`. Absent on a body that is as the codec wrote it. */
  readonly contentencoding?: string;
  /** A detached JWS of header and body (RFC 7515), where the sender signs. */
  readonly signature?: string;
  /** `urn:waybill:<contract>:<version>`. */
  readonly dataschema?: string;
  /** W3C trace context (https://www.w3.org/TR/trace-context/). */
  readonly traceparent?: string;
  readonly tracestate?: string;
  /** A call's id, which its answer repeats. */
  readonly correlationid?: string;
  /** Id of the message whose handling sent this one. */
  readonly causationid?: string;
  /** Id of the first message of the whole conversation. */
  readonly conversationid: string;
  readonly partitionkey?: string;
  readonly sequence?: string;
  /** After this moment the message is of no use to anybody. */
  readonly expirytime?: string;
  /** Where an answer goes. */
  readonly replyto?: string;
  readonly dedupid?: string;
  /** Id of the message whose edited copy this is. */
  readonly replacesid?: string;
  /** The moment at which the caller stops waiting. */
  readonly deadline?: string;
  /** The cursor, as JSON, after which a feed goes on. */
  readonly resumefrom?: string;
  /** How many calls with somebody waiting stand above this one. */
  readonly calldepth?: number;
  /** What rules compare. */
  readonly attributes?: Attributes;
}

/** One message: header and body. */
export interface Envelope {
  readonly header: Header;
  readonly body: Body;
}

export function bodyBytes(body: Body): number {
  return typeof body === "string" ? utf8Length(body) : body.byteLength;
}

/** Bytes of a string in UTF-8, without encoding it. A lone surrogate counts as the replacement character does: 3. */
function utf8Length(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit < 0x80) continue;
    if (unit < 0x800) bytes += 1;
    else if (unit >= 0xd800 && unit <= 0xdbff && isLowSurrogate(text.charCodeAt(index + 1))) {
      bytes += 2;
      index += 1;
    } else bytes += 2;
  }
  return bytes;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

/** What duplicate detection compares: the type and the sender's id of the message. */
export function dedupKey({ type, id, dedupid = id }: Header): string {
  return `${type} ${dedupid}`;
}

const schemaPrefix = "urn:waybill:";

export function schemaUri(contract: { readonly name: string; readonly version: number }): string {
  return `${schemaPrefix}${contract.name}:${contract.version}`;
}

/** The version that a sender wrote; 1 when a foreign sender wrote none. NaN when the text is of our form but no version. */
export function versionOf(header: Header): number {
  const dataschema: unknown = header.dataschema;
  if (dataschema === undefined) return 1;
  if (typeof dataschema !== "string") return Number.NaN;
  if (!dataschema.startsWith(schemaPrefix)) return 1;
  const version = Number(dataschema.slice(dataschema.lastIndexOf(":") + 1));
  return Number.isSafeInteger(version) && version > 0 ? version : Number.NaN;
}
