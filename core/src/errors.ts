/**
 * Every way in which Waybill itself can fail. The list is closed: code that switches on it is checked
 * for completeness, and operators can alert on a code.
 */
export type ErrorCode =
  | "ANSWER_FAILED"
  | "ANSWER_INVALID"
  | "BODY_TOO_LARGE"
  | "BUFFER_FULL"
  | "CALL_CANCELLED"
  | "CALL_DEPTH_EXCEEDED"
  | "CLOSED"
  | "COMMAND_REJECTED"
  | "COMMIT_UNKNOWN"
  | "CONTRACT_NOT_DECLARED"
  | "DEADLINE_EXCEEDED"
  | "DECODE_FAILED"
  | "EXPIRED"
  | "FEED_FAILED"
  | "HANDLER_CRASHED"
  | "HANDLER_FAILED"
  | "HANDLER_TIMED_OUT"
  | "LOCK_LOST"
  | "MESSAGE_INVALID"
  | "NOT_FOUND"
  | "NOT_SUPPORTED"
  | "OPTION_INVALID"
  | "OWNED_TWICE"
  | "SAGA_CONFLICT"
  | "SAGA_FINISHED"
  | "SAGA_UNEXPECTED"
  | "SAGA_UNKNOWN"
  | "SHUTDOWN_INCOMPLETE"
  | "STATE_INVALID"
  | "STORAGE_BUSY"
  | "STORAGE_FAILED"
  | "STORAGE_FULL"
  | "STORAGE_INVALID"
  | "STREAM_TOO_LONG"
  | "SUBSCRIBER_MISSING"
  | "TRANSPORT_FAILED"
  | "TYPE_UNKNOWN"
  | "UNAUTHORISED"
  | "UNROUTABLE"
  | "VERSION_CONFLICT"
  | "VERSION_UNKNOWN"
  | "VIEW_BEHIND"
  | "WIRING_INVALID";

export interface ErrorOptions {
  /** Whether the same call may succeed later without any change. Default false. */
  readonly retryable?: boolean;
  /** The error underneath; stays in the process and its logs, never on the wire. */
  readonly cause?: unknown;
  /** Plain data for the reader of the error: names, limits, positions. Goes over the wire. */
  readonly details?: Readonly<Record<string, unknown>>;
}

/** The one error class of Waybill. The message says what happened and what to do next. */
export class WaybillError extends Error {
  override readonly name = "WaybillError";
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.details = options.details ?? {};
  }
}

/** A text for anything that was thrown; throwing something that is not an error is legal, so is a getter that throws. */
export function messageOf(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown);
  } catch {
    return "a value that cannot be turned into text";
  }
}

/** The stack of whatever was thrown, where it has one. */
export function stackOf(thrown: unknown): string | undefined {
  try {
    return thrown instanceof Error && typeof thrown.stack === "string" ? thrown.stack : undefined;
  } catch {
    return undefined;
  }
}
