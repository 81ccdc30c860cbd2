import { type ErrorCode, WaybillError } from "@waybill/core";
import { JetStreamApiCodes, JetStreamApiError } from "@nats-io/jetstream";
import { errors } from "@nats-io/transport-node";

interface Judged {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly advice: string;
}

/** What nats.js and NATS throw, in our words. */
export function brokerError(doing: string, thrown: unknown): WaybillError {
  if (thrown instanceof WaybillError) return thrown;
  const { code, retryable, advice } = judged(thrown);
  return new WaybillError(code, `${doing} failed: ${messageOf(thrown)}. ${advice}`, {
    retryable,
    cause: thrown,
  });
}

function judged(thrown: unknown): Judged {
  if (
    thrown instanceof errors.ClosedConnectionError ||
    thrown instanceof errors.DrainingConnectionError
  )
    return refusal("CLOSED", "The connection to NATS is closed.");
  if (
    thrown instanceof errors.AuthorizationError ||
    thrown instanceof errors.UserAuthenticationExpiredError
  )
    return refusal("UNAUTHORISED", "Check user, password, token or credentials.");
  if (thrown instanceof errors.PermissionViolationError)
    return refusal(
      "UNAUTHORISED",
      `Allow the user ${thrown.operation} on "${thrown.subject}", or use another user.`,
    );
  if (isSilent(thrown) || apiCode(thrown) === apiCodes.notEnabled)
    return refusal(
      "NOT_SUPPORTED",
      "Start nats-server with -js, and enable JetStream for this account.",
    );
  if (isMissing(thrown))
    return refusal("NOT_FOUND", "It was never declared, or somebody deleted it.");
  if (thrown instanceof JetStreamApiError) return judgedApi(thrown);
  return {
    code: "TRANSPORT_FAILED",
    retryable: true,
    advice: "Check that nats-server runs and can be reached; Waybill tries again by itself.",
  };
}

/** Numbers: https://github.com/nats-io/nats-server/blob/main/server/errors.json */
const apiCodes = {
  insufficientResources: 10_023,
  notEnabled: 10_039,
  storageExceeded: 10_047,
  memoryExceeded: 10_028,
  nameInUse: 10_058,
  storeFailed: 10_077,
  subjectsOverlap: 10_065,
} as const;

const fullCodes: readonly number[] = [
  apiCodes.insufficientResources,
  apiCodes.storageExceeded,
  apiCodes.memoryExceeded,
  apiCodes.storeFailed,
];

function judgedApi(thrown: JetStreamApiError): Judged {
  if (fullCodes.includes(thrown.code))
    return {
      code: "STORAGE_FULL",
      retryable: true,
      advice: "Raise the limits of the account or the stream, or wait until receivers made room.",
    };
  if (thrown.code === apiCodes.nameInUse || thrown.code === apiCodes.subjectsOverlap)
    return refusal(
      "WIRING_INVALID",
      "A stream exists with other settings or has its subjects: set another prefix, or empty and delete it.",
    );
  return refusal("TRANSPORT_FAILED", "NATS refused it.");
}

function refusal(code: ErrorCode, advice: string): Judged {
  return { code, retryable: false, advice };
}

function apiCode(thrown: unknown): number | undefined {
  return thrown instanceof JetStreamApiError ? thrown.code : undefined;
}

/** What a server says of what it knew a moment ago while it stops: it takes JetStream from its accounts first, then ends connections. */
export function isStopping(thrown: unknown): boolean {
  return isMissing(thrown) || isSilent(thrown) || apiCode(thrown) === apiCodes.notEnabled;
}

export function stoppingError(doing: string, cause: unknown): WaybillError {
  const message = `${doing} failed: NATS is stopping. Waybill tries again once it is back.`;
  return new WaybillError("TRANSPORT_FAILED", message, { retryable: true, cause });
}

/** The stream or the consumer is not there. */
export function isMissing(thrown: unknown): boolean {
  const code = apiCode(thrown);
  return code === JetStreamApiCodes.StreamNotFound || code === JetStreamApiCodes.ConsumerNotFound;
}

/** Nobody answers for JetStream. */
function isSilent(thrown: unknown): boolean {
  return thrown instanceof Error && isUnheard(thrown.cause);
}

/** Nobody listens to that subject, no stream either. */
export function isUnheard(thrown: unknown): boolean {
  return (
    thrown instanceof errors.NoRespondersError ||
    (thrown instanceof errors.RequestError && thrown.isNoResponders())
  );
}

export function messageOf(thrown: unknown): string {
  if (thrown instanceof AggregateError)
    return thrown.errors.map((error: unknown) => messageOf(error)).join("; ");
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return text.replace(/\.$/, "");
}

export function closedError(): WaybillError {
  return new WaybillError("CLOSED", "The connection to NATS is closed.");
}
