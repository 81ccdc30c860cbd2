/**
 * Who of the members is to have which partition. Who has one keeps it, as far as nobody gets more than one more than another. The same on every
 * process: it depends on nothing but what is given.
 */
export function share(
  owners: readonly (string | undefined)[],
  members: readonly string[],
): readonly (string | undefined)[] {
  if (members.length === 0) return owners.map(() => undefined);
  const least = Math.floor(owners.length / members.length);
  let larger = owners.length % members.length;
  const room = new Map<string, number>();
  for (const member of byHoldings(owners, members)) {
    room.set(member, larger > 0 ? least + 1 : least);
    larger -= 1;
  }
  const kept = owners.map((owner) => (takes(room, owner) ? owner : undefined));
  return kept.map((owner) => owner ?? members.find((member) => takes(room, member)));
}

/** Who has most comes first, and may keep one more. */
function byHoldings(
  owners: readonly (string | undefined)[],
  members: readonly string[],
): readonly string[] {
  const count = (member: string): number => owners.filter((owner) => owner === member).length;
  return members.toSorted((one, other) => count(other) - count(one));
}

function takes(room: Map<string, number>, member: string | undefined): boolean {
  const left = member === undefined ? 0 : (room.get(member) ?? 0);
  if (member === undefined || left === 0) return false;
  room.set(member, left - 1);
  return true;
}
