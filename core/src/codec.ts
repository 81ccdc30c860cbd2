import type { Body } from "./envelope.ts";

/** Turns values into bodies and back. `decode` throws on anything it cannot read; the caller gives the error its name. */
export interface Codec {
  readonly contentType: string;
  encode(value: unknown): Body;
  decode(body: Body): unknown;
}

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * JSON (RFC 8259). A `__proto__` key in a body becomes an own property, as JSON.parse does it, and schemas
 * that copy known keys drop it. Text that is not UTF-8 is refused, not repaired.
 */
export const jsonCodec: Codec = {
  contentType: "application/json",
  encode: (value) => {
    const text: string | undefined = JSON.stringify(value);
    if (text === undefined) throw new TypeError("the value has no JSON form");
    return text;
  },
  decode: (body) => JSON.parse(typeof body === "string" ? body : utf8.decode(body)) as unknown,
};
