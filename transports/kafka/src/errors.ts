import { type ErrorCode, WaybillError } from "@waybill/core";
import { MultipleErrors, findErrorBy } from "@platformatic/kafka";

interface Judged {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly advice: string;
}

/** What the client and Kafka throw, in our words. */
export function brokerError(doing: string, thrown: unknown): WaybillError {
  if (thrown instanceof WaybillError) return thrown;
  const { code, retryable, advice } = judged(thrown);
  return new WaybillError(code, `${doing} failed: ${messageOf(thrown)}. ${advice}`, {
    retryable,
    cause: thrown,
  });
}

function judged(thrown: unknown): Judged {
  if (isClosed(thrown)) return refusal("CLOSED", "The connection to Kafka is closed.");
  for (const [ids, code, advice] of refusals)
    if (ids.some((id) => isApi(thrown, id))) return refusal(code, advice);
  if (codeOf(thrown, "PLT_KFK_AUTHENTICATION"))
    return refusal("UNAUTHORISED", "Check mechanism, user and password of kafka({ sasl }).");
  if (codeOf(thrown, "PLT_KFK_UNSUPPORTED_API") || isApi(thrown, "UNSUPPORTED_VERSION"))
    return refusal("NOT_SUPPORTED", "Update Kafka to 2.8 or newer.");
  if (codeOf(thrown, "PLT_KFK_USER") && /TLS/.test(messageOf(thrown)))
    return refusal("TRANSPORT_FAILED", "Use kafka:// for a listener without TLS.");
  if (isApi(thrown, "KAFKA_STORAGE_ERROR"))
    return { code: "STORAGE_FULL", retryable: true, advice: "Look at the disks of the brokers." };
  return {
    code: "TRANSPORT_FAILED",
    retryable: true,
    advice: "Check that Kafka runs and can be reached; Waybill tries again by itself.",
  };
}

const refusals: readonly (readonly [ids: readonly string[], code: ErrorCode, advice: string])[] = [
  [
    ["SASL_AUTHENTICATION_FAILED", "UNSUPPORTED_SASL_MECHANISM", "ILLEGAL_SASL_STATE"],
    "UNAUTHORISED",
    "Check mechanism, user and password of kafka({ sasl }).",
  ],
  [
    [
      "TOPIC_AUTHORIZATION_FAILED",
      "GROUP_AUTHORIZATION_FAILED",
      "CLUSTER_AUTHORIZATION_FAILED",
      "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
    ],
    "UNAUTHORISED",
    "Allow this user the topics and groups that begin with the prefix, or use another user.",
  ],
  [
    ["INVALID_SESSION_TIMEOUT"],
    "OPTION_INVALID",
    "Set kafka({ sessionTimeoutMs }) within the brokers' group.min.session.timeout.ms and group.max.session.timeout.ms.",
  ],
  [
    ["MESSAGE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"],
    "BODY_TOO_LARGE",
    "Raise message.max.bytes of the brokers and kafka({ messageBytesMax }), or send a reference.",
  ],
  [
    ["INCONSISTENT_GROUP_PROTOCOL"],
    "WIRING_INVALID",
    "Another client is in this consumer group: give it a group of its own, or set another prefix.",
  ],
  [
    ["INVALID_REPLICATION_FACTOR"],
    "OPTION_INVALID",
    "Set kafka({ replicas }) to at most the number of brokers.",
  ],
  [["POLICY_VIOLATION"], "OPTION_INVALID", "The brokers' policy forbids it."],
];

function refusal(code: ErrorCode, advice: string): Judged {
  return { code, retryable: false, advice };
}

/** Whether Kafka answered with that error: `UNKNOWN_TOPIC_OR_PARTITION`. */
export function isApi(thrown: unknown, id: string): boolean {
  return says(thrown, "apiId", id);
}

/** The topic is not there. */
export function isMissing(thrown: unknown): boolean {
  return isApi(thrown, "UNKNOWN_TOPIC_OR_PARTITION") || isApi(thrown, "UNKNOWN_TOPIC_ID");
}

function codeOf(thrown: unknown, code: string): boolean {
  return says(thrown, "code", code);
}

function isClosed(thrown: unknown): boolean {
  return says(thrown, "closed", true);
}

/** Whether it says so itself, one of those that it sums up, or what caused it. */
function says(thrown: unknown, property: string, value: unknown): boolean {
  if (!(thrown instanceof Error)) return false;
  if (findErrorBy(thrown, property, value) !== null) return true;
  const several: readonly unknown[] = thrown instanceof AggregateError ? thrown.errors : [];
  return [thrown.cause, ...several].some((each) => says(each, property, value));
}

export function messageOf(thrown: unknown): string {
  if (thrown instanceof MultipleErrors && thrown.errors.length > 0)
    return [...new Set(thrown.errors.map((error: unknown) => messageOf(error)))].join("; ");
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  const cause = thrown instanceof Error && thrown.cause instanceof Error ? thrown.cause : undefined;
  const plain = text.replace(/\.$/, "");
  return cause === undefined ? plain : `${plain}: ${messageOf(cause)}`;
}

export function closedError(): WaybillError {
  return new WaybillError("CLOSED", "The connection to Kafka is closed.");
}
