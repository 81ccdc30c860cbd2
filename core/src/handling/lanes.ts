import type { Entry } from "./entry.ts";
import type { Roster } from "./roster.ts";

/** Entries that run one after another, by lane. */
export class Lanes {
  readonly #lanes = new Map<string, Entry[]>();

  /** Whether the entry is the head of its lane, or has none. */
  join(entry: Entry): boolean {
    if (entry.lane === undefined) return true;
    const lane = this.#lanes.get(entry.lane);
    if (lane === undefined) {
      this.#lanes.set(entry.lane, [entry]);
      return true;
    }
    lane.push(entry);
    return false;
  }

  /** The head leaves; answers who is the head then. */
  leave(entry: Entry): Entry | undefined {
    const lane = entry.lane === undefined ? undefined : this.#lanes.get(entry.lane);
    if (entry.lane === undefined || lane?.[0] !== entry) return undefined;
    lane.shift();
    const head = lane[0];
    if (head === undefined) this.#lanes.delete(entry.lane);
    return head;
  }

  /** All that do not run, which are forgotten. Who runs still stands in front of whatever comes. */
  takeIdle(running: Pick<Roster<Entry>, "has">): readonly Entry[] {
    const idle: Entry[] = [];
    for (const [name, lane] of this.#lanes) {
      const head = lane[0];
      const isBusy = head !== undefined && running.has(head);
      idle.push(...lane.splice(isBusy ? 1 : 0));
      if (!isBusy) this.#lanes.delete(name);
    }
    return idle;
  }
}
