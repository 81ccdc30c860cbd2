/** A member of a group that still reads. */
export interface Member {
  readonly id: string;
  /** When it came, on its own clock: only an order that all see alike. */
  readonly since: number;
}

export interface Division {
  readonly members: readonly Member[];
  readonly member: string;
  /** Who has each partition; undefined where that is nobody, or nobody who lives. */
  readonly owners: readonly (string | undefined)[];
  /** Partitions that it reads. */
  readonly mine: readonly number[];
}

/** What one member should take and give up: shares differ by one at most, and a partition moves only when it has to. Every member computes it for itself, from the same records. */
export function shareOf({ members, member, owners, mine }: Division): {
  readonly wanted: readonly number[];
  readonly surplus: readonly number[];
} {
  const place = members.toSorted(byAge).findIndex(({ id }) => id === member);
  if (place < 0) return { wanted: [], surplus: mine };
  const quota =
    Math.floor(owners.length / members.length) + (place < owners.length % members.length ? 1 : 0);
  // One that is booked on it but read by nobody is as free as any.
  const free = owners.flatMap((owner, partition) =>
    owner === undefined || (owner === member && !mine.includes(partition)) ? partition : [],
  );
  return {
    wanted: free.slice(0, Math.max(0, quota - mine.length)),
    surplus: mine.slice(quota),
  };
}

function byAge(one: Member, other: Member): number {
  return one.since - other.since || (one.id < other.id ? -1 : 1);
}
