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
  return page.map(toDeadLetter);
}

export function toDeadLetter({ handle, envelope, failure, attempt }: StoredMessage): DeadLetter {
  return {
    handle,
    contract: envelope.header.type,
    orderId: orderIdIn(envelope.body),
    reason: failure?.message ?? "",
    attempts: failure?.attempts ?? attempt,
    failedAt: failure === undefined ? null : new Date(failure.lastFailedAt).toISOString(),
  };
}

function orderIdIn(body: unknown): string | null {
  try {
    const { orderId } = JSON.parse(String(body)) as { orderId?: unknown };
    return typeof orderId === "string" ? orderId : null;
  } catch {
    return null;
  }
}
