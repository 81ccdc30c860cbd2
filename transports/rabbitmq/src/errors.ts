import { WaybillError, type ErrorCode } from "@waybill/core";

/** What amqplib and RabbitMQ throw, in our words. Reply codes: https://www.rabbitmq.com/amqp-0-9-1-reference#constants */
export function brokerError(doing: string, thrown: unknown): WaybillError {
  if (thrown instanceof WaybillError) return thrown;
  const text = messageOf(thrown);
  const { code, retryable, advice } = judged(codeOf(thrown), text);
  return new WaybillError(code, `${doing} failed: ${text}. ${advice}`, {
    retryable,
    cause: thrown,
  });
}

interface Judged {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly advice: string;
}

function judged(code: unknown, text: string): Judged {
  switch (code) {
    case accessRefused:
      return refused(
        "Grant the user configure, write and read on these names, or use another user.",
      );
    case notFound:
      return {
        code: "NOT_FOUND",
        retryable: false,
        advice: "It was never declared, or somebody deleted it.",
      };
    case resourceLocked:
      return {
        code: "WIRING_INVALID",
        retryable: false,
        advice: "Another connection has this queue for itself.",
      };
    case preconditionFailed:
      return {
        code: "WIRING_INVALID",
        retryable: false,
        advice:
          "It exists with other arguments, which RabbitMQ cannot change: empty it and delete it, or set another prefix.",
      };
    case notAllowed:
      return refused(vhostAdvice);
    default:
      // While connecting there is no code, only what the server said.
      if (/ACCESS_REFUSED|403/.test(text)) return refused("Check user and password.");
      // amqplib does not pass on why the server closes instead of opening the virtual host.
      return /530 \(NOT_ALLOWED\)|ConnectionOpenOk; got <ConnectionClose/.test(text)
        ? refused(vhostAdvice)
        : {
            code: "TRANSPORT_FAILED",
            retryable: true,
            advice: "Check that RabbitMQ runs and can be reached; Waybill tries again by itself.",
          };
  }
}

const vhostAdvice = "Create the virtual host, or give the user access to it.";

/** What RabbitMQ must be able to do: quorum queues with a time to live and dead-lettering at least once. Throws NOT_SUPPORTED. */
export function assertRecent(version: unknown): void {
  const [major = 0, minor = 0] = String(version).split(".").map(Number);
  if (major > 3 || (major === 3 && minor >= 10)) return;
  throw new WaybillError(
    "NOT_SUPPORTED",
    `This is RabbitMQ ${String(version)}; Waybill needs 3.10 or newer. Upgrade the server.`,
  );
}

function refused(advice: string): Judged {
  return { code: "UNAUTHORISED", retryable: false, advice };
}

const accessRefused = 403;
const notFound = 404;
const resourceLocked = 405;
const preconditionFailed = 406;
const notAllowed = 530;

function codeOf(thrown: unknown): unknown {
  return thrown instanceof Error && "code" in thrown ? thrown.code : undefined;
}

/** An ECONNREFUSED of both families has no text of its own. */
export function messageOf(thrown: unknown): string {
  if (thrown instanceof AggregateError)
    return thrown.errors.map((error: unknown) => messageOf(error)).join("; ");
  const text = thrown instanceof Error ? thrown.message : String(thrown);
  return text.replace(/\.$/, "");
}
