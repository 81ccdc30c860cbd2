import type { Entry } from "../handling/entry.ts";
import type { Member } from "./member.ts";

interface Lane {
  /** In a batch that runs. */
  readonly flying: Set<Member>;
  /** Failed, and back after a pause. */
  readonly resting: Set<Entry>;
  /** In the order of arrival. */
  waiting: Member[];
}

/** Which messages must wait for others of their key or partition. A lane is kept only while something of it runs or rests. */
export class BatchLanes {
  readonly #lanes = new Map<string, Lane>();

  /** Answers who may run now: the message itself, or with it everything that waited for it to come back. */
  admit(member: Member): readonly Member[] {
    const lane = this.#of(member.lane);
    if (lane === undefined) return [member];
    lane.resting.delete(member.entry);
    insert(lane, member);
    return this.#freed(member.lane, lane);
  }

  /** They run. */
  enter(members: readonly Member[]): void {
    for (const member of members) {
      if (member.lane === undefined) continue;
      const lane = this.#of(member.lane) ?? { flying: new Set(), resting: new Set(), waiting: [] };
      lane.flying.add(member);
      this.#lanes.set(member.lane, lane);
    }
  }

  /** Lets a message wait when its lane is busy; answers whether it does. */
  hold(member: Member): boolean {
    const lane = this.#of(member.lane);
    if (lane !== undefined) insert(lane, member);
    return lane !== undefined;
  }

  /** It has ended, or rests. */
  leave(member: Member, rests: boolean): readonly Member[] {
    const lane = this.#of(member.lane);
    if (lane?.flying.delete(member) !== true) return [];
    if (rests) lane.resting.add(member.entry);
    return this.#freed(member.lane, lane);
  }

  /** It runs again when those before it are done. */
  holdBack(member: Member): readonly Member[] {
    const lane = this.#of(member.lane);
    if (lane === undefined) return [member];
    lane.flying.delete(member);
    insert(lane, member);
    return this.#freed(member.lane, lane);
  }

  /** Its lock was lost while it rested. */
  gone(entry: Entry, name: string | undefined): readonly Member[] {
    const lane = this.#of(name);
    if (lane === undefined) return [];
    lane.resting.delete(entry);
    return this.#freed(name, lane);
  }

  /** Everything that waits. */
  drain(): readonly Member[] {
    const waiting = [...this.#lanes.values()].flatMap((lane) => lane.waiting);
    for (const lane of this.#lanes.values()) lane.waiting = [];
    return waiting;
  }

  #of(name: string | undefined): Lane | undefined {
    return name === undefined ? undefined : this.#lanes.get(name);
  }

  #freed(name: string | undefined, lane: Lane): readonly Member[] {
    if (name === undefined || lane.flying.size > 0 || lane.resting.size > 0) return [];
    this.#lanes.delete(name);
    return lane.waiting;
  }
}

/** What comes back stands near the front, what is new at the end. */
function insert({ waiting }: Lane, member: Member): void {
  const last = waiting.at(-1);
  if (last === undefined || last.order < member.order) waiting.push(member);
  else
    waiting.splice(
      waiting.findIndex(({ order }) => order > member.order),
      0,
      member,
    );
}
