import type { Item, Moment, Token } from "./item.ts";

/** What is wrong with delivering this item to this receiver before the others of its address; undefined when nothing is. */
export function orderFault(
  item: Item,
  others: Iterable<Item>,
  { token, moment, mayBeRemoved }: Overtaking,
): string | undefined {
  if (!item.orderly && item.kind !== "session") return undefined;
  for (const other of others) {
    if (other.address !== item.address || other === item) continue;
    if (item.kind === "session") {
      const fault = inSession(item, other, { token, moment });
      if (fault !== undefined) return fault;
      continue;
    }
    if (other.kind !== item.kind || other.order >= item.order || !other.orderly) continue;
    // What a command of this moment puts back may be seen a little later.
    const waits =
      other.state === "ready" && other.since < moment.step && other.notAfter > moment.now;
    const isBehind = item.kind === "queue" ? waits : overtakes(item, other, { token, waits });
    const isFree = item.kind === "log" && other.state !== "held";
    if (isBehind && !(isFree && mayBeRemoved(other))) return `${other.id} stands before it`;
  }
  return undefined;
}

interface Overtaking {
  readonly token: Token;
  readonly moment: Moment;
  /** Of an item of a stream that nobody holds: retention may have taken it away by now. */
  readonly mayBeRemoved: (item: Item) => boolean;
}

/** In a stream the items of a key are handed on one behind the other, across members and their deaths. */
function overtakes(
  item: Item,
  other: Item,
  { token, waits }: { readonly token: Token; readonly waits: boolean },
): boolean {
  if (other.key !== item.key) return false;
  if (other.state === "held") return other.holder?.receiver !== token.receiver;
  return waits || other.state === "orphan";
}

/** One receiver at a time has all of a session, in the order of sending; nothing overtakes what waits, came back or is parked. */
function inSession(
  item: Item,
  other: Item,
  { token, moment }: { readonly token: Token; readonly moment: Moment },
): string | undefined {
  if (!isSameSession(item, other)) return undefined;
  const isBefore =
    other.order < item.order && other.orderly && item.orderly && other.notAfter > moment.now;
  switch (other.state) {
    case "held":
      return other.holder?.receiver === token.receiver
        ? undefined
        : `another receiver has ${other.id} of its session`;
    case "orphan":
      if (moment.now < other.freeFrom) return `a dead process has ${other.id} of its session`;
      return isBefore ? `${other.id} stands before it in its session` : undefined;
    case "ready":
      return isBefore ? `${other.id} stands before it in its session` : undefined;
    case "dead":
      return other.parks ? `its session waits for ${other.id}` : undefined;
    default:
      return undefined;
  }
}

export function isSameSession(item: Item, other: Item): boolean {
  return (
    item.kind === "session" &&
    other.kind === "session" &&
    other.address === item.address &&
    other.key === item.key
  );
}
