import { type ErrorCode, messageOf, stackOf } from "../errors.ts";
import type { Incoming } from "./message.ts";
import type { Outcome } from "./outcome.ts";
import type { Failure } from "../ports/transport.ts";
import { retryDelayMs } from "./retry.ts";
import { judge, mayRetry } from "./taxonomy.ts";

/** What is to be done with a message. Decided purely, from values; acted on once, by the settle step. */
export type Decision =
  | { readonly act: "complete" }
  | { readonly act: "retry"; readonly delayMs: number; readonly failure: Failure }
  | { readonly act: "deadLetter"; readonly failure: Failure }
  | { readonly act: "defer" }
  /** The lock is lost: whoever has the message now settles it. */
  | { readonly act: "leave" };

/** The moment and the draw, as arguments. */
export interface Chance {
  readonly now: number;
  readonly random: number;
}

export function decideOnOutcome(outcome: Outcome, message: Incoming, chance: Chance): Decision {
  switch (outcome.outcome) {
    case "complete":
      return { act: "complete" };
    case "defer":
      return { act: "defer" };
    case "deadLetter":
      return {
        act: "deadLetter",
        failure: failureOf(message, chance.now, { reason: "HANDLER_FAILED", text: outcome.reason }),
      };
    case "retry": {
      const failure = failureOf(message, chance.now, {
        reason: "HANDLER_FAILED",
        text: outcome.reason,
      });
      return retryOrDeadLetter(message, { failure, afterMs: outcome.afterMs, chance });
    }
  }
}

export function decideOnError(thrown: unknown, message: Incoming, chance: Chance): Decision {
  const { kind, reason, afterMs } = judge(thrown);
  // Believed only when it is so: who throws LOCK_LOST while the lock is held would leave the message locked for good.
  if (kind === "lockLost" && message.lifetime.over) return { act: "leave" };
  const failure = failureOf(message, chance.now, {
    reason,
    text: messageOf(thrown),
    stack: stackOf(thrown),
  });
  return mayRetry(kind)
    ? retryOrDeadLetter(message, { failure, afterMs, chance })
    : { act: "deadLetter", failure };
}

function retryOrDeadLetter(
  message: Incoming,
  asked: { failure: Failure; afterMs: number | undefined; chance: Chance },
): Decision {
  const { policy } = message.route;
  const { failure, afterMs, chance } = asked;
  if (message.attempt >= policy.attempts) return { act: "deadLetter", failure };
  return {
    act: "retry",
    delayMs: afterMs ?? retryDelayMs(policy, message.attempt, chance.random),
    failure,
  };
}

const textMax = 4_000;
const stackMax = 16_000;

function failureOf(
  message: Pick<Incoming, "attempt" | "failure" | "route">,
  now: number,
  cause: { reason: ErrorCode; text: string; stack?: string | undefined },
): Failure {
  return {
    reason: cause.reason,
    message: cause.text.slice(0, textMax),
    ...(cause.stack !== undefined && { stack: cause.stack.slice(0, stackMax) }),
    service: message.route.service,
    handler: message.route.handlerName,
    attempts: message.attempt,
    firstFailedAt: message.failure?.firstFailedAt ?? now,
    lastFailedAt: now,
  };
}
