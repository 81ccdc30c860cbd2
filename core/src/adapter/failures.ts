import type { Failure } from "../ports/transport.ts";

interface When {
  readonly now: number;
  readonly attempts: number;
  readonly firstFailedAt?: number | undefined;
}

/** The failure that the broker itself writes, where no handler ran. */
export function brokerFailure(
  reason: "EXPIRED" | "SUBSCRIBER_MISSING",
  message: string,
  { now, attempts, firstFailedAt = now }: When,
): Failure {
  return { reason, message, service: "", handler: "", attempts, firstFailedAt, lastFailedAt: now };
}

/** What is said of a message that nobody took in time: milliseconds since 1970 until which it was of use. */
export function expiredFailure(type: string, until: number, attempts: number): Failure {
  const words = `"${type}" was of use until ${new Date(until).toISOString()}, and was not handled by then.`;
  return brokerFailure("EXPIRED", words, { now: until, attempts });
}

/** What is said of an event that nobody subscribes to. */
export function unheardFailure(topic: string, type: string, now: number): Failure {
  const words = `No subscription of "${topic}" takes "${type}".`;
  return brokerFailure("SUBSCRIBER_MISSING", words, { now, attempts: 0 });
}

/** With no more than so many characters of message and of stack, for what has to fit into headers. */
export function shortFailure(failure: Failure, charactersMax: number): Failure {
  return {
    ...failure,
    message: failure.message.slice(0, charactersMax),
    ...(failure.stack !== undefined && { stack: failure.stack.slice(0, charactersMax) }),
  };
}
