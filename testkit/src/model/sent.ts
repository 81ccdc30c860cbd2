import type { Item, Moment } from "./item.ts";
import { sessionQueue } from "./places.ts";

/** What is sent, as the model sees it. */
export interface Sent {
  readonly id: string;
  readonly kind: "queue" | "topic" | "stream";
  readonly sentAt: number;
  readonly name: string;
  readonly type: string;
  readonly attributes: Readonly<Record<string, string | number>>;
  readonly key?: string | undefined;
  /** By which its destination may remember it. Absent: its own. */
  readonly dedupid?: string;
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly discardExpired?: boolean;
}

/** It as it comes to an address. */
export function itemOf(
  sent: Sent,
  address: string,
  { order, moment }: { readonly order: number; readonly moment: Moment },
): Item {
  const { notBefore = 0, notAfter = Infinity } = sent;
  const delayed = notBefore > moment.now;
  return {
    kind: kindOf(sent),
    id: sent.id,
    address,
    order,
    key: sent.key,
    type: sent.type,
    attributes: sent.attributes,
    discardExpired: sent.discardExpired ?? false,
    state: delayed ? "scheduled" : "ready",
    attempt: 0,
    due: notBefore,
    notAfter,
    orderly: !delayed,
    since: moment.step,
    sinceAt: moment.now,
    sentAt: sent.sentAt,
    holder: undefined,
    freeFrom: 0,
    freeBy: 0,
    failure: undefined,
    handle: undefined,
    parks: false,
    discarded: false,
    mayRepeat: false,
    removed: false,
    keptAt: undefined,
    lingersUntil: 0,
  };
}

/** It as it goes on to another queue. */
export function sentOn(item: Item, name: string): Sent {
  return { ...item, kind: "queue", name, notBefore: 0 };
}

function kindOf({ kind, name, key }: Sent): Item["kind"] {
  if (kind === "stream") return "log";
  return name === sessionQueue && key !== undefined ? "session" : "queue";
}
