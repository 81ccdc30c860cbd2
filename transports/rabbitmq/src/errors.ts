import { WaybillError, type ErrorCode } from "@waybill/core";
import type { Parcel } from "./publisher.ts";

/** What amqplib and RabbitMQ throw, in our words. Reply codes: https://www.rabbitmq.com/amqp-0-9-1-reference#constants */
export function brokerError(doing: string, thrown: unknown): WaybillError {
  if (thrown instanceof WaybillError) return thrown;
  const text = messageOf(thrown);
  const { code, retryable, advice } = judged(codeOf(thrown), text);
  return new WaybillError(code, `${doing} failed: ${text}. ${advice}`, {
    retryable,
    cause: thrown,
    ...(code === "WIRING_INVALID" && { details: differing(text) }),
  });
}

/** Which queue or exchange is there with other arguments, and which argument differs. */
function differing(text: string): Readonly<Record<string, string>> {
  const [, argument = "", kind = "", name = ""] =
    /inequivalent arg '([^']+)' for (queue|exchange) '([^']+)'/.exec(text) ?? [];
  return argument === "" ? {} : { [kind]: name, argument };
}

/** What of that which was sent the broker refuses, and would on the next channel. */
export interface Refusal {
  readonly refuses: (parcel: Parcel) => boolean;
  readonly error: WaybillError;
}

/** Undefined for a complaint that is not about one of the messages. */
export function refusalIn(complaint: WaybillError): Refusal | undefined {
  const { message } = complaint;
  const [, key, exchange] =
    /access to topic '([^']*)' in exchange '([^']*)'/.exec(message) ??
    /(?:access|publish) to ()(?:internal )?exchange '([^']*)'/.exec(message) ??
    [];
  if (exchange !== undefined) {
    const name = exchange === "amq.default" ? "" : exchange;
    const refuses = ({ way }: Parcel): boolean =>
      way.exchange === name && (key === "" || way.key === key);
    return { refuses, error: complaint };
  }
  const most = /message size \d+ is larger than (?:configured )?max size (\d+)/.exec(message)?.[1];
  if (most === undefined) return undefined;
  return {
    refuses: ({ content }) => content.byteLength > Number(most),
    error: new WaybillError(
      "BODY_TOO_LARGE",
      `RabbitMQ takes messages of at most ${most} bytes (max_message_size). Send a reference to it, or raise that setting.`,
      { details: { bodyBytesMax: Number(most) }, cause: complaint },
    ),
  };
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
      if (typeof code === "string") {
        const tls = tlsFaults.find(({ codes }) => codes.test(code));
        if (tls !== undefined) return tls.judged;
      }
      // While connecting there is no code, only what the server said.
      if (/ACCESS_REFUSED|403/.test(text)) return refused("Check user and password.");
      // amqplib does not pass on why the server closes instead of opening the virtual host.
      return /530 \(NOT_ALLOWED\)|ConnectionOpenOk; got <ConnectionClose/.test(text)
        ? refused(vhostAdvice)
        : {
            code: "TRANSPORT_FAILED",
            retryable: true,
            advice: /abruptly during opening handshake/.test(text)
              ? "If that port speaks TLS, use amqps://."
              : "Check that RabbitMQ runs and can be reached; Waybill tries again by itself.",
          };
  }
}

/** Codes of Node and OpenSSL, which say little about what to do. */
const tlsFaults: readonly { readonly codes: RegExp; readonly judged: Judged }[] = [
  {
    codes: /^(CERT_HAS_EXPIRED|CERT_NOT_YET_VALID)$/,
    judged: refused("The server's certificate is not valid today: renew it, or set the clock."),
  },
  {
    codes: /SELF_SIGNED_CERT|^UNABLE_TO_|^CERT_/,
    judged: refused(
      "No authority known here has signed the server's certificate: give its own, rabbitmq({ tls: { ca } }).",
    ),
  },
  {
    codes: /^ERR_TLS_CERT_ALTNAME_INVALID$/,
    judged: refused(
      "The server's certificate names other hosts: use one of them in the URL, or rabbitmq({ tls: { servername } }).",
    ),
  },
  {
    codes: /ALERT_(CERTIFICATE|BAD_CERTIFICATE|UNKNOWN_CA|HANDSHAKE_FAILURE)/,
    judged: refused(
      "The server wants a certificate that it trusts: rabbitmq({ tls: { cert, key } }).",
    ),
  },
  {
    codes: /^ERR_SSL_(WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG)$/,
    judged: {
      code: "TRANSPORT_FAILED",
      retryable: false,
      advice: "That port speaks no TLS: use amqp://.",
    },
  },
];

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
