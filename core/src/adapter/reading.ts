import type { Attributes } from "@waybill/contracts";
import type { Failure } from "../ports/transport.ts";

/** Reads what anybody may have written. Undefined for what is no JSON. */
export function parsedJson(text: string): unknown {
  // Most headers are absent, and what is thrown costs more than all the rest.
  if (text === "") return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The last that `Date` can name: what is read from it later would throw. */
const latestMoment = 8_640_000_000_000_000;

/** Milliseconds since 1970. */
export function isMoment(value: unknown): value is number {
  return Number.isInteger(value) && Math.abs(value as number) <= latestMoment;
}

const failureTexts = ["reason", "message", "service", "handler"] as const;

/** Undefined for what is no whole failure. */
export function failureIn(read: unknown): Failure | undefined {
  const failure = Object(read) as Readonly<Partial<Record<keyof Failure, unknown>>>;
  const isWhole =
    failureTexts.every((name) => typeof failure[name] === "string") &&
    ["string", "undefined"].includes(typeof failure.stack) &&
    Number.isSafeInteger(failure.attempts) &&
    isMoment(failure.firstFailedAt) &&
    isMoment(failure.lastFailedAt);
  return isWhole ? (read as Failure) : undefined;
}

/** Undefined for what is no record. What rules compare is checked where they do. */
export function attributesIn(read: unknown): Attributes | undefined {
  if (typeof read !== "object" || read === null || Array.isArray(read)) return undefined;
  return read as Attributes;
}

/** A count or a moment that travels as text; undefined for everything else. */
export function wholeNumber(text: string | undefined): number | undefined {
  const value = text === undefined || text === "" ? Number.NaN : Number(text);
  return isMoment(value) && value >= 0 ? value : undefined;
}
