import { crc32 } from "node:zlib";
import {
  type Body,
  type Change,
  type Envelope,
  type Failure,
  type Header,
  type Outgoing,
  WaybillError,
} from "@waybill/core";
import { messageOf } from "../errors.ts";

/** Bytes of a header as JSON text. */
const headerBytesMax = 64 * 1024;
/** Characters kept of a failure's message and of its stack: enough to read, too few to fill the disk. */
const failureTextMax = 16 * 1024;

/** A message as it is stored. */
export interface Encoded {
  readonly outgoing: Outgoing;
  readonly header: string;
  readonly body: Body;
  readonly bytes: number;
  /** Of one that was stored before. */
  readonly enqueuedAt?: number;
  /** How often it was forwarded. */
  readonly hops?: number;
}

/** Throws BODY_TOO_LARGE or MESSAGE_INVALID. */
export function encode(outgoing: Outgoing, bodyBytesMax: number): Encoded {
  const { header, body } = outgoing.envelope;
  const bytes = typeof body === "string" ? Buffer.byteLength(body) : body.byteLength;
  if (bytes > bodyBytesMax) {
    throw new WaybillError(
      "BODY_TOO_LARGE",
      `The body of ${header.type} ${header.id} has ${bytes} bytes; the broker takes ${bodyBytesMax}. Send a reference to it, or raise embedded({ bodyBytesMax }).`,
      { details: { bytes, bodyBytesMax } },
    );
  }
  for (const moment of [outgoing.notBefore, outgoing.notAfter]) {
    if (moment === undefined || Number.isSafeInteger(Math.floor(moment))) continue;
    throw new WaybillError(
      "MESSAGE_INVALID",
      `${header.type} ${header.id} is timed for ${moment}, which is no moment. Give milliseconds since 1970.`,
    );
  }
  return { outgoing, header: encodeHeader(header, body), body, bytes };
}

/** The header as it is stored with this body: sealed, so that a file that was damaged cannot pass for a message. */
export function encodeHeader(header: Header, body: Body): string {
  let text: string;
  try {
    text = JSON.stringify(header);
  } catch (error) {
    throw new WaybillError(
      "MESSAGE_INVALID",
      `The header of ${header.type} ${header.id} cannot be written as JSON: ${messageOf(error)}.`,
      { cause: error },
    );
  }
  if (text.length * 3 > headerBytesMax && Buffer.byteLength(text) > headerBytesMax) {
    throw new WaybillError(
      "MESSAGE_INVALID",
      `The header of ${header.type} ${header.id} is longer than ${headerBytesMax} bytes. Move data from its attributes into the body.`,
    );
  }
  return seal(text, body);
}

/** The copy of a subscription that writes into the attributes. What its rule adds counts not against the length of a header. */
export function changed({ outgoing, ...message }: Encoded, change: Change): Encoded {
  const { header, body } = outgoing.envelope;
  const envelope = { header: change(header), body };
  return {
    ...message,
    outgoing: { ...outgoing, envelope },
    header: seal(JSON.stringify(envelope.header), body),
  };
}

function seal(text: string, body: Body): string {
  return `${sealBefore}${sealOf(text, body)}${sealAfter}${text.slice(1)}`;
}

/** Throws STORAGE_INVALID when it is not what was stored, or somebody else wrote the row. */
export function decode(header: string, body: Body): Envelope {
  if (typeof body !== "string" && !(body instanceof Uint8Array))
    throw damaged("body", "it is neither text nor bytes");
  const read = parsed(unsealed(header, body), "header");
  if (typeof read["id"] !== "string" || typeof read["type"] !== "string")
    throw damaged("header", "it has no id or no type");
  return { header: read as unknown as Header, body };
}

function parsed(text: string, what: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw damaged(what, messageOf(error));
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw damaged(what, "it is no object");
  return value as Record<string, unknown>;
}

function damaged(what: string, why: string): WaybillError {
  return new WaybillError(
    "STORAGE_INVALID",
    `The ${what} of a stored message cannot be read: ${why}. The file is damaged, or something else has written into it: keep a copy, restore a backup, or name another directory.`,
  );
}

function unsealed(header: string, body: Body): string {
  // Before schema version 3 there were no seals. One whose surroundings were damaged still looks like one.
  if (!header.startsWith(sealBefore) && !sealed.test(header)) return header;
  const text = `{${header.slice(sealEnd + sealAfter.length)}`;
  if (header.slice(sealBefore.length, sealEnd) === sealOf(text, body)) return text;
  throw damaged("header or the body", "it is not what was stored");
}

/** The seal is the first field, so that what is stored stays JSON that SQL can look into. */
const sealBefore = '{"~":"';
const sealAfter = '",';
const sealLength = 8;
const sealEnd = sealBefore.length + sealLength;
const sealed = /^.{6}[0-9a-f]{8}/s;

/** A checksum of header and body, in hexadecimal. */
function sealOf(text: string, body: Body): string {
  const ofBody = crc32(body, typeof body === "string" ? 0 : 1);
  return crc32(text, ofBody).toString(16).padStart(sealLength, "0");
}

export function encodeFailure(failure: Failure): string {
  const { message, stack, ...rest } = failure;
  const short = { ...rest, message: message.slice(0, failureTextMax) };
  return JSON.stringify(
    stack === undefined ? short : { ...short, stack: stack.slice(0, failureTextMax) },
  );
}

export function decodeFailure(text: string | null): Failure | undefined {
  return text === null ? undefined : (parsed(text, "failure") as unknown as Failure);
}
