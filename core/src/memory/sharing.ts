import type { Cursor } from "./cursor.ts";
import type { MemoryReceiver } from "./receiver.ts";

/** Gives every partition a reader: shares differ by one at most, and no partition moves without need. */
export function share(cursors: readonly Cursor[], members: readonly MemoryReceiver[]): void {
  const hands = new Map<MemoryReceiver, Cursor[]>(members.map((member) => [member, []]));
  const orphans: Cursor[] = [];
  for (const cursor of cursors) {
    const hand = cursor.target === undefined ? undefined : hands.get(cursor.target);
    (hand ?? orphans).push(cursor);
  }
  for (const orphan of orphans) orphan.target = undefined;
  if (members.length === 0) return;
  for (const orphan of orphans) give(orphan, least(hands));
  for (;;) {
    const [, most] = largest(hands);
    const fewest = least(hands);
    if (most.length - fewest[1].length <= 1) return;
    give(most.pop() as Cursor, fewest);
  }
}

type Share = [MemoryReceiver, Cursor[]];

function give(cursor: Cursor, [member, hand]: Share): void {
  cursor.target = member;
  hand.push(cursor);
}

function least(hands: ReadonlyMap<MemoryReceiver, Cursor[]>): Share {
  return [...hands].reduce((best, hand) => (hand[1].length < best[1].length ? hand : best));
}

function largest(hands: ReadonlyMap<MemoryReceiver, Cursor[]>): Share {
  return [...hands].reduce((best, hand) => (hand[1].length > best[1].length ? hand : best));
}
