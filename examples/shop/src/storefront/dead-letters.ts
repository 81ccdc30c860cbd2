import type { AsideMessages, StoredMessage } from "waybill";

/** A dead letter without its body: that may hold what only its owner may read. */
export interface DeadLetter {
  readonly handle: string;
  readonly contract: string;
  readonly orderId: string | null;
  readonly reason: string;
  readonly attempts: number;
  readonly failedAt: string | null;
}

/** A hundred at a time, oldest first; the next page begins `after` the last handle of this one. */
export async function listDeadLetters(
  deadLetters: AsideMessages,
  after?: string,
): Promise<DeadLetter[]> {
  const page = await deadLetters.list({ limit: 100, ...(after !== undefined && { after }) });
  return page.map((message) => toDeadLetter(message, deadLetters));
}

export function toDeadLetter(message: StoredMessage, deadLetters: AsideMessages): DeadLetter {
  const { handle, envelope, failure, attempt } = message;
  return {
    handle,
    contract: envelope.header.type,
    orderId: orderIdIn(() => deadLetters.read(message)),
    reason: failure?.message ?? "",
    attempts: failure?.attempts ?? attempt,
    failedAt: failure === undefined ? null : new Date(failure.lastFailedAt).toISOString(),
  };
}

function orderIdIn(read: () => unknown): string | null {
  try {
    const { orderId } = Object(read()) as { orderId?: unknown };
    return typeof orderId === "string" ? orderId : null;
  } catch {
    return null;
  }
}
