import {
  type Body,
  type Envelope,
  type Failure,
  type Header,
  type Outgoing,
  WaybillError,
} from "@waybill/core";
import { messageOf } from "./errors.ts";

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
  return { outgoing, header: encodeHeader(header), body, bytes };
}

export function encodeHeader(header: Header): string {
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
  return text;
}

/** Throws STORAGE_INVALID when somebody else wrote the row. */
export function decode(header: string, body: Body): Envelope {
  const read = parsed(header, "header");
  if (typeof read["id"] !== "string" || typeof read["type"] !== "string")
    throw damaged("header", "it has no id or no type");
  if (typeof body !== "string" && !(body instanceof Uint8Array))
    throw damaged("body", "it is neither text nor bytes");
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
    `The ${what} of a stored message cannot be read: ${why}. Something else has written into the broker's file; restore a backup, or name another directory.`,
  );
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
