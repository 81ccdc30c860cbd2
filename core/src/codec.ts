import type { Body } from "./envelope.ts";

/** Turns values into bodies and back. `decode` throws on anything it cannot read; the caller gives the error its name. */
export interface Codec {
  readonly contentType: string;
  encode(value: unknown): Body;
  decode(body: Body): unknown;
}

/** Deeper than any data that people model, and far from where recursive code (a schema, JSON.stringify) runs out of stack. */
const depthMax = 1_000;
const tooDeep = `it is nested deeper than ${depthMax} levels`;

const utf8 = new TextDecoder("utf-8", { fatal: true });

/**
 * JSON (RFC 8259), both ways at most 1,000 levels deep. Text that is not UTF-8 is refused, not repaired; so is an object with a key
 * `__proto__`, which becomes the prototype where careless code copies it.
 */
export const jsonCodec: Codec = {
  contentType: "application/json",
  encode: (value) => {
    const text = stringify(value);
    if (text === undefined) throw new TypeError("the value has no JSON form");
    if (isTooDeep(text)) throw new TypeError(tooDeep);
    return text;
  },
  decode: (body) => {
    const text = typeof body === "string" ? body : textOf(body);
    if (isTooDeep(text)) throw new TypeError(tooDeep);
    const value: unknown = JSON.parse(text);
    // Only text that can hold the key, escaped or not, is worth a walk.
    if ((text.includes("__proto__") || text.includes("\\u")) && hasPrototypeKey(value))
      throw new TypeError("it has a key __proto__");
    return value;
  },
};

function stringify(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (error) {
    // Out of stack; nothing else makes JSON.stringify throw a RangeError.
    if (error instanceof RangeError) throw new TypeError(tooDeep, { cause: error });
    throw error;
  }
}

function textOf(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes);
  } catch (cause) {
    throw new TypeError("it is not UTF-8", { cause });
  }
}

/** Whether brackets stand deeper than allowed. A level takes two characters, so short text needs no look. */
function isTooDeep(text: string): boolean {
  if (text.length <= depthMax * 2) return false;
  let depth = 0;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    if (unit === quote) index = endOfString(text, index);
    else if (unit === openBracket || unit === openBrace) {
      depth += 1;
      if (depth > depthMax) return true;
    } else if (unit === closeBracket || unit === closeBrace) depth -= 1;
  }
  return false;
}

const quote = 0x22;
const backslash = 0x5c;
const openBracket = 0x5b;
const closeBracket = 0x5d;
const openBrace = 0x7b;
const closeBrace = 0x7d;

/** Where the string that begins here ends; the end of the text where it does not end. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text.charCodeAt(end - 1 - slashes) === backslash) slashes += 1;
    if (slashes % 2 === 0) return end;
  }
  return text.length;
}

/** Depth is bounded by now, so the stack is. */
function hasPrototypeKey(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (Array.isArray(value)) return value.some(hasPrototypeKey);
  return Object.hasOwn(value, "__proto__") || Object.values(value).some(hasPrototypeKey);
}
