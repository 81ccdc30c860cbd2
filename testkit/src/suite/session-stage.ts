import type { Outgoing, Source, Transport } from "@waybill/core";
import { toQueue } from "./messages.ts";
import type { Stage } from "./stage.ts";

/** A queue that keeps sessions. */
export async function sessionQueue(
  stage: Stage,
): Promise<{ readonly transport: Transport; readonly queue: string; readonly source: Source }> {
  const queue = stage.name("sessions");
  const transport = await stage.declared({ queues: [{ name: queue, sessions: true }] });
  return { transport, queue, source: { kind: "queue", name: queue } };
}

/** Messages whose body is the key and a number: a1, a2, b1. */
export function keyed(queue: string, ...bodies: readonly string[]): Outgoing[] {
  return bodies.map((body) =>
    toQueue(queue, body, { header: { partitionkey: body.replace(/\d+$/, "") } }),
  );
}

export const retryFailure = {
  reason: "HANDLER_FAILED",
  message: "not now",
  service: "suite",
  handler: "suite",
  attempts: 1,
  firstFailedAt: 1,
  lastFailedAt: 1,
} as const;
