import { createHash } from "node:crypto";
import type { Failure } from "../ports/transport.ts";

/** What the failures of one fingerprint have in common. */
export interface Likeness {
  /** Sixteen hexadecimal digits; the same on every machine and after every restart. */
  readonly fingerprint: string;
  readonly reason: string;
  /** Name of what was thrown, where it had a stack: `TypeError`. Empty where nothing was thrown. */
  readonly error: string;
  readonly handler: string;
  /** First line of the message, with `#` for every word that has a digit and `"…"` for every quotation. */
  readonly message: string;
  /** Function and file of the place that threw, without line and folder. Empty where it is not known. */
  readonly place: string;
}

/**
 * Failures are alike when reason, handler, thrown class, place and message are, numbers, ids and quotations aside. Lines and
 * folders do not count, so that a group outlives a deployment and is the same on every machine.
 */
export function likenessOf(failure: Failure | undefined): Likeness {
  const { reason = "", handler = "", message = "", stack = "" } = failure ?? {};
  const parts = {
    reason,
    error: errorName(stack),
    handler,
    message: normalised(message),
    place: placeOf(stack),
  };
  const fingerprint = createHash("sha256")
    .update(JSON.stringify(Object.values(parts)))
    .digest("hex")
    .slice(0, 16);
  return { fingerprint, ...parts };
}

const messageMax = 300;

/** Cut first: what a foreign message costs is bounded. */
function normalised(message: string): string {
  const [line = ""] = message.slice(0, 2 * messageMax).split("\n", 1);
  return line
    .replaceAll(/"[^"]*"|`[^`]*`/g, '"…"')
    .replaceAll(/[\p{L}\p{N}_-]+/gu, (word) => (/\p{N}/u.test(word) ? "#" : word))
    .slice(0, messageMax);
}

function errorName(stack: string): string {
  return /^([A-Za-z_$][\w$]{0,99})(?: \[[\w$]{1,99}\])?(?:$|[:\n])/.exec(stack)?.[1] ?? "";
}

const framesMax = 20;

/** The first frame that is neither the engine's nor Node's own. */
function placeOf(stack: string): string {
  const frames = stack
    .split("\n", 4 * framesMax)
    .map((line) => line.trim())
    .filter((line) => line.startsWith("at "))
    .slice(0, framesMax);
  for (const frame of frames) {
    const found = /^at (?:(.{1,200}) \()?(?:async )?([^()]{1,1000}):\d+:\d+\)?$/.exec(frame);
    const file = found?.[2];
    if (file === undefined || file.startsWith("node:")) continue;
    const [base = ""] = file.split(/[/\\]/).slice(-1);
    return [found?.[1]?.replace(/^async /, ""), base].filter((part) => part).join(" in ");
  }
  return "";
}
