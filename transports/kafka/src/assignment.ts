/** A partition as a key: `topic:3`. */
export type PartitionKey = string;

export interface Partition {
  readonly topic: string;
  readonly partition: number;
}

/** What a member says of itself when it joins. */
export interface Claim {
  readonly member: string;
  /** What it reads, and what it still has in hand. */
  readonly owned: readonly PartitionKey[];
  /** The generation in which it got that. */
  readonly generation: number;
  /** It gives up everything as soon as it can. */
  readonly leaving: boolean;
}

export function keyOf({ topic, partition }: Partition): PartitionKey {
  return `${topic}:${partition}`;
}

export function partitionOf(key: PartitionKey): Partition {
  const end = key.lastIndexOf(":");
  return { topic: key.slice(0, end), partition: Number(key.slice(end + 1)) };
}

/** Partitions by topic, as the group protocol writes them. */
export function byTopic(
  keys: Iterable<PartitionKey>,
): { readonly topic: string; readonly partitions: number[] }[] {
  const topics = new Map<string, number[]>();
  for (const key of keys) {
    const { topic, partition } = partitionOf(key);
    topics.set(topic, [...(topics.get(topic) ?? []), partition]);
  }
  return [...topics].map(([topic, partitions]) => ({ topic, partitions }));
}

export function keysOf(
  topics: readonly { readonly topic: string; readonly partitions: readonly number[] }[],
): readonly PartitionKey[] {
  return topics.flatMap(({ topic, partitions }) =>
    partitions.map((partition) => keyOf({ topic, partition })),
  );
}

/**
 * Who reads what from now on: equal shares of each topic, everybody keeps what he can. What is to move goes to nobody yet: who has it gives it up when nothing of
 * it is in hand any more, and joins again.
 */
export function assign(
  partitions: readonly PartitionKey[],
  claims: readonly Claim[],
): ReadonlyMap<string, readonly PartitionKey[]> {
  const owners = ownersOf(partitions, claims);
  const takers = claims.filter(({ leaving }) => !leaving).map(({ member }) => member);
  const shares = sharesOf(partitions, takers.toSorted(), owners);
  const assigned = new Map(claims.map(({ member }) => [member, [] as PartitionKey[]]));
  for (const [member, keys] of shares)
    for (const key of keys) {
      const owner = owners.get(key);
      if (owner === undefined || owner === member) assigned.get(member)?.push(key);
    }
  return assigned;
}

/** What nobody has and nobody wants. */
export function orphans(
  partitions: readonly PartitionKey[],
  claims: readonly Claim[],
): readonly PartitionKey[] {
  if (claims.some(({ leaving }) => !leaving)) return [];
  const owners = ownersOf(partitions, claims);
  return partitions.filter((key) => !owners.has(key));
}

/** Of several who claim a partition, who got it last. */
function ownersOf(
  partitions: readonly PartitionKey[],
  claims: readonly Claim[],
): ReadonlyMap<PartitionKey, string> {
  const known = new Set(partitions);
  const owners = new Map<PartitionKey, string>();
  for (const { member, owned } of claims.toSorted(
    (one, other) => one.generation - other.generation,
  ))
    for (const key of owned) if (known.has(key)) owners.set(key, member);
  return owners;
}

/** Of each topic by itself: else one would get what is published, and the other what comes back, which is next to nothing. */
function sharesOf(
  partitions: readonly PartitionKey[],
  takers: readonly string[],
  owners: ReadonlyMap<PartitionKey, string>,
): ReadonlyMap<string, readonly PartitionKey[]> {
  const shares = new Map(takers.map((member) => [member, [] as PartitionKey[]]));
  for (const keys of Map.groupBy(partitions, (key) => partitionOf(key).topic).values())
    for (const [member, share] of sharesOfTopic(keys, takers, { owners, before: shares }))
      shares.get(member)?.push(...share);
  return shares;
}

interface Standing {
  readonly owners: ReadonlyMap<PartitionKey, string>;
  /** What each gets of other topics. */
  readonly before: ReadonlyMap<string, readonly PartitionKey[]>;
}

function sharesOfTopic(
  partitions: readonly PartitionKey[],
  takers: readonly string[],
  { owners, before }: Standing,
): ReadonlyMap<string, readonly PartitionKey[]> {
  const shares = new Map(takers.map((member) => [member, [] as PartitionKey[]]));
  if (takers.length === 0) return shares;
  const has = (member: string): number =>
    partitions.filter((key) => owners.get(key) === member).length;
  const gets = (member: string): number => before.get(member)?.length ?? 0;
  const most = takers.toSorted((one, other) => has(other) - has(one) || gets(one) - gets(other));
  const least = Math.floor(partitions.length / takers.length);
  const larger = new Set(most.slice(0, partitions.length % takers.length));
  const open: PartitionKey[] = [];
  const sizeOf = (member: string): number => least + (larger.has(member) ? 1 : 0);
  for (const key of partitions) {
    const owner = owners.get(key) ?? "";
    const share = shares.get(owner);
    if (share !== undefined && share.length < sizeOf(owner)) share.push(key);
    else open.push(key);
  }
  for (const member of takers)
    for (const share = shares.get(member) ?? []; share.length < sizeOf(member);) {
      const key = open.shift();
      if (key === undefined) break;
      share.push(key);
    }
  return shares;
}
