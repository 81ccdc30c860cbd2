import { type Outgoing, type Transport, WaybillError } from "@waybill/core";
import type { Dice } from "./dice.ts";

/** Sends a batch over a network with faults. */
export async function faultySend(
  transport: Transport,
  batch: readonly Outgoing[],
  dice: Dice,
): Promise<void> {
  if (dice.strikes("failSend"))
    throw failed("withFaults rejected the batch; nothing of it was stored. Send it again.");
  await transport.send(doubled(batch, dice));
  if (dice.strikes("loseConfirm")) {
    throw failed(
      "withFaults lost the confirmation; the batch may be stored. Send it again with the same ids.",
    );
  }
}

/** The batch with some of its messages in it twice. */
export function doubled(batch: readonly Outgoing[], dice: Dice): readonly Outgoing[] {
  return batch.flatMap((outgoing) =>
    dice.strikes("duplicate") ? [outgoing, outgoing] : [outgoing],
  );
}

function failed(message: string): WaybillError {
  return new WaybillError("TRANSPORT_FAILED", message, { retryable: true });
}
