import { type Environment, type Settlement, WaybillError } from "@waybill/core";
import type { Aside } from "../aside.ts";
import type { Outbound } from "../outbound.ts";
import type { StreamDelivery } from "./delivery.ts";
import { tokenOf } from "./replays.ts";

export interface StoreParts {
  readonly aside: Aside;
  readonly outbound: Outbound;
  readonly environment: Environment;
}

/** An item's end, in what it asks for beside the cursor. */
export interface ItemEnd {
  /** `stream@group`. */
  readonly address: string;
  readonly delivery: StreamDelivery;
  readonly settlement: StreamSettlement;
  /** How often the group was put to another place before. */
  readonly moved: number;
}

type StreamSettlement = Exclude<Settlement, { readonly kind: "retry" | "defer" }>;

/** Throws NOT_SUPPORTED. */
export function assertSettles(
  stream: string,
  settlement: Settlement,
): asserts settlement is StreamSettlement {
  const { kind } = settlement;
  if (kind !== "retry" && kind !== "defer") return;
  throw new WaybillError(
    "NOT_SUPPORTED",
    `An item of the stream "${stream}" cannot be settled with "${kind}": the items behind it would overtake it. Wait in the handler and try again there, or settle it as a dead letter.`,
    { details: { stream, kind } },
  );
}

/** Stores what leaves with an item, and the copy of one that is set aside, before the group moves on. Rejects when it was refused. */
export async function store(
  { aside, outbound, environment }: StoreParts,
  { address, delivery, settlement, moved }: ItemEnd,
): Promise<void> {
  if (settlement.kind === "complete" && settlement.send !== undefined)
    await outbound.send(settlement.send);
  if (settlement.kind !== "deadLetter") return;
  const { item, attempt: attempts, envelope, enqueuedAt } = delivery;
  const { failure } = settlement;
  await aside.lay({
    address,
    state: "dead",
    // After a seek it may be set aside once more, beside the first.
    token: item.token ?? tokenOf(item, String(moved)),
    envelope,
    extras: { attempts, failure, enqueuedAt },
    sendId: environment.id(),
  });
}
