import type { AnyContract } from "./uses.ts";
/** Pairs of different members with the same key: the first with each later one. */
export function doubles<Member>(
  members: readonly Member[],
  keyOf: (member: Member) => string,
): (readonly [Member, Member])[] {
  return [...Map.groupBy(members, keyOf).values()].flatMap(([first, ...others]) =>
    others.map((other) => [first as Member, other] as const),
  );
}

export function at(place: string): string {
  return place === "" ? "" : ` at ${place}`;
}

export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}

/** A value in a sentence. */
export function shown(value: unknown): string {
  return typeof value === "number" ? String(value) : JSON.stringify(value);
}

const kinds: readonly string[] = ["command", "event", "query", "feed", "stream"];

/** JavaScript may give anything as a contract. */
export function described(contract: AnyContract | null | undefined): string {
  return contract !== undefined && contract !== null && kinds.includes(contract.kind)
    ? `the ${contract.kind} "${contract.name}"`
    : "something that is not a contract (a circular import makes it undefined)";
}
