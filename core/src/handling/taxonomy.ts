import { type ErrorCode, WaybillError } from "../errors.ts";

/**
 * What kind of failure an error is, and so what may be done about it.
 *
 * - retryable: the same call may succeed later (a refused connection, a busy database).
 * - throttled: later, and the other side says when.
 * - permanent: the same call will fail again.
 * - poison: the message itself cannot be read.
 * - lockLost: somebody else may have the message by now; leave it alone.
 * - unauthorised: rights are missing; a person must act.
 * - ambiguous: it may have happened or not; at-least-once says again.
 * - bug: the program is wrong (TypeError and its kind); running it again gives the same.
 * - unknown: none of these is known; bounded retries.
 */
export type FailureKind =
  | "retryable"
  | "throttled"
  | "permanent"
  | "poison"
  | "lockLost"
  | "unauthorised"
  | "ambiguous"
  | "bug"
  | "unknown";

export interface Judgement {
  readonly kind: FailureKind;
  /** For the reader of the dead letter. */
  readonly reason: ErrorCode;
  /** How long the other side asks us to wait, where it says so. */
  readonly afterMs?: number;
}

const poisonCodes: readonly ErrorCode[] = [
  "DECODE_FAILED",
  "MESSAGE_INVALID",
  "TYPE_UNKNOWN",
  "VERSION_UNKNOWN",
  "EXPIRED",
  "HANDLER_CRASHED",
];

/** Codes by which Node and the usual clients say "not now". */
const retryableCodes: ReadonlySet<string> = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "EBUSY",
  "EAGAIN",
  "UND_ERR_CONNECT_TIMEOUT",
  "UND_ERR_HEADERS_TIMEOUT",
  "UND_ERR_SOCKET",
  "SQLITE_BUSY",
]);
const unauthorisedCodes: ReadonlySet<string> = new Set(["EACCES", "EPERM"]);
const afterMsMax = 3_600_000;

/** Decides by code and by plain properties, never by message text. Anything may have been thrown, so nothing is assumed. */
export function judge(thrown: unknown): Judgement {
  try {
    return judgeByClues(thrown);
  } catch {
    return { kind: "unknown", reason: "HANDLER_FAILED" }; // it throws when it is looked at
  }
}

function judgeByClues(thrown: unknown): Judgement {
  if (thrown instanceof WaybillError) return judgeOwn(thrown);
  const { status, retryable, afterMs, code } = readClues(thrown);
  if (status === 429 || afterMs !== undefined)
    return {
      kind: "throttled",
      reason: "HANDLER_FAILED",
      ...(afterMs !== undefined && { afterMs }),
    };
  if (status === 401 || status === 403 || unauthorisedCodes.has(code))
    return { kind: "unauthorised", reason: "HANDLER_FAILED" };
  if (retryable === true || retryableCodes.has(code) || retryableCodes.has(causeCode(thrown)))
    return { kind: "retryable", reason: "HANDLER_FAILED" };
  if (retryable === false) return { kind: "permanent", reason: "HANDLER_FAILED" };
  if (isBug(thrown)) return { kind: "bug", reason: "HANDLER_FAILED" };
  return { kind: "unknown", reason: "HANDLER_FAILED" };
}

function judgeOwn(error: WaybillError): Judgement {
  const { code } = error;
  if (poisonCodes.includes(code)) return { kind: "poison", reason: code };
  if (code === "LOCK_LOST") return { kind: "lockLost", reason: code };
  if (code === "UNAUTHORISED") return { kind: "unauthorised", reason: code };
  if (code === "DEADLINE_EXCEEDED" || code === "HANDLER_TIMED_OUT" || code === "COMMIT_UNKNOWN")
    return { kind: "ambiguous", reason: code };
  // It is this process that ends, not the message that is wrong: another instance may handle it.
  if (code === "CLOSED") return { kind: "retryable", reason: code };
  return { kind: error.retryable ? "retryable" : "permanent", reason: code };
}

/** Whether running the same handler again may help. */
export function mayRetry(kind: FailureKind): boolean {
  return kind === "retryable" || kind === "throttled" || kind === "ambiguous" || kind === "unknown";
}

interface Clues {
  readonly status: unknown;
  readonly retryable: unknown;
  readonly afterMs: number | undefined;
  readonly code: string;
}

function readClues(thrown: unknown): Clues {
  const clues = (typeof thrown === "object" && thrown !== null ? thrown : {}) as Record<
    string,
    unknown
  >;
  const after = clues["retryAfterMs"];
  return {
    status: clues["status"] ?? clues["statusCode"],
    retryable: clues["retryable"],
    afterMs: typeof after === "number" && after >= 0 ? Math.min(after, afterMsMax) : undefined,
    code: textOf(clues["code"]),
  };
}

/** undici reports a refused connection as `TypeError: fetch failed` with the network error as its cause. */
function causeCode(thrown: unknown): string {
  const cause = thrown instanceof Error ? thrown.cause : undefined;
  return typeof cause === "object" && cause !== null
    ? textOf((cause as Record<string, unknown>)["code"])
    : "";
}

function textOf(code: unknown): string {
  return typeof code === "string" ? code : "";
}

function isBug(thrown: unknown): boolean {
  return (
    thrown instanceof TypeError ||
    thrown instanceof ReferenceError ||
    thrown instanceof RangeError ||
    thrown instanceof SyntaxError
  );
}
