import { type Outgoing, type Sent, type Transport, WaybillError } from "@waybill/core";
import type { Dice } from "./dice.ts";

/** Sends a batch over a network with faults. */
export async function faultySend(
  transport: Transport,
  batch: readonly Outgoing[],
  dice: Dice,
): Promise<Sent> {
  if (dice.strikes("failSend"))
    throw failed("withFaults rejected the batch; nothing of it was stored. Send it again.");
  const twice = doubled(batch, dice);
  const sent = await transport.send(twice.map(({ outgoing }) => outgoing));
  if (dice.strikes("loseConfirm")) {
    throw failed(
      "withFaults lost the confirmation; the batch may be stored. Send it again with the same ids.",
    );
  }
  const unrouted = new Set(sent.unrouted.map((index) => twice[index]?.from ?? -1));
  return { unrouted: [...unrouted] };
}

interface Copy {
  readonly outgoing: Outgoing;
  /** Its position in the batch that the caller sent. */
  readonly from: number;
}

/** The batch with some of its messages in it twice. */
export function doubled(batch: readonly Outgoing[], dice: Dice): readonly Copy[] {
  return batch.flatMap((outgoing, from) =>
    dice.strikes("duplicate")
      ? [
          { outgoing, from },
          { outgoing, from },
        ]
      : [{ outgoing, from }],
  );
}

function failed(message: string): WaybillError {
  return new WaybillError("TRANSPORT_FAILED", message, { retryable: true });
}
