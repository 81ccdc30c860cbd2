import type { Entry } from "../shared-log.ts";
import { share } from "./share.ts";

/** Where a group stands in one partition. */
export interface Place {
  /** Everything below is done. */
  committed: number;
  /** How often the item that stands there may have been run by members that died. */
  runs: number;
  /** Grows whenever somebody begins to read, and when the group is put elsewhere: who reads under an older one commits in vain. */
  epoch: number;
  /** Who is to read it. */
  assigned?: string | undefined;
  /** Who reads it. */
  holder?: string | undefined;
  /** Nothing that was delivered is left unsettled. */
  isClean: boolean;
}

export interface Group {
  places: Place[];
  /** In the order in which they joined. */
  members: string[];
}

/** An entry of the log, by what it says. What does not fit the state of things changes nothing. */
export type GroupEntry =
  | { readonly kind: "begin"; readonly group: string; readonly committed: readonly number[] }
  | { readonly kind: "join" | "quit" | "gone"; readonly group: string; readonly member: string }
  | {
      readonly kind: "claim";
      readonly group: string;
      readonly member: string;
      readonly partition: number;
    }
  | {
      readonly kind: "free";
      readonly group: string;
      readonly partition: number;
      readonly epoch: number;
    }
  | {
      readonly kind: "done";
      readonly group: string;
      /** Partition, epoch, and below which offset all is done. */
      readonly done: readonly (readonly [number, number, number])[];
    }
  | {
      readonly kind: "seek";
      readonly group: string;
      readonly id: string;
      readonly to: readonly (readonly [number, number])[];
    };

/**
 * What the groups of a stream have done and who reads what: the sum of its log. Every process adds up the same entries in the same order, so all come to
 * the same, and an entry that comes twice changes nothing the second time.
 */
export class Groups {
  #groups = new Map<string, Group>();
  /** The latest seeks, which may come twice. */
  #seeks: string[] = [];

  get(group: string): Group | undefined {
    return this.#groups.get(group);
  }

  get all(): ReadonlyMap<string, Group> {
    return this.#groups;
  }

  toJSON(): unknown {
    return { groups: [...this.#groups], seeks: this.#seeks };
  }

  load(written: unknown): void {
    const { groups, seeks } = written as { groups: [string, Group][]; seeks: string[] };
    this.#groups = new Map(groups);
    this.#seeks = [...seeks];
  }

  apply(entry: Entry): void {
    const said = entry as unknown as GroupEntry;
    if (said.kind === "begin") return this.#begin(said.group, said.committed);
    const group = this.#groups.get(said.group);
    if (group === undefined) return;
    switch (said.kind) {
      case "join":
        if (!group.members.includes(said.member)) group.members.push(said.member);
        return assign(group);
      case "quit":
      case "gone":
        return leave(group, said.member, said.kind === "gone");
      case "claim":
        return claim(group.places[said.partition], said.member);
      case "free":
        return free(group.places[said.partition], said.epoch);
      case "done":
        for (const [partition, epoch, committed] of said.done)
          commit(group.places[partition], epoch, committed);
        return;
      case "seek":
        return this.#seek(group, said.id, said.to);
    }
  }

  #begin(name: string, committed: readonly number[]): void {
    if (this.#groups.has(name)) return;
    const places = committed.map((each) => ({
      committed: each,
      runs: 0,
      epoch: 0,
      isClean: true,
    }));
    this.#groups.set(name, { places, members: [] });
  }

  #seek(group: Group, id: string, to: readonly (readonly [number, number])[]): void {
    if (this.#seeks.includes(id)) return;
    this.#seeks = [...this.#seeks.slice(-seeksMax), id];
    for (const [partition, offset] of to) {
      const place = group.places[partition];
      if (place === undefined) continue;
      place.committed = offset;
      place.runs = 0;
      place.epoch += 1;
      place.holder = undefined;
      place.isClean = true;
    }
  }
}

const seeksMax = 100;

function assign(group: Group): void {
  const owners = share(
    group.places.map(({ assigned }) => assigned),
    group.members,
  );
  for (const [partition, place] of group.places.entries()) place.assigned = owners[partition];
}

/** Who quits keeps what it reads until it frees it; who is gone does not. */
function leave(group: Group, member: string, isGone: boolean): void {
  group.members = group.members.filter((each) => each !== member);
  if (isGone)
    for (const place of group.places) if (place.holder === member) place.holder = undefined;
  assign(group);
}

function claim(place: Place | undefined, member: string): void {
  if (place === undefined || place.assigned !== member || place.holder !== undefined) return;
  place.holder = member;
  place.epoch += 1;
  if (!place.isClean) place.runs += 1;
  place.isClean = false;
}

function free(place: Place | undefined, epoch: number): void {
  if (place === undefined || place.epoch !== epoch) return;
  place.holder = undefined;
  place.isClean = true;
}

function commit(place: Place | undefined, epoch: number, committed: number): void {
  if (place === undefined || place.epoch !== epoch || place.holder === undefined) return;
  if (committed <= place.committed) return;
  place.committed = committed;
  place.runs = 0;
}

/** Who reads or is to read; who has quit may still hold something. */
export function membersOf(group: Group | undefined): readonly string[] {
  if (group === undefined) return [];
  const holders = group.places.flatMap(({ holder }) => holder ?? []);
  return [...new Set([...group.members, ...holders])];
}
