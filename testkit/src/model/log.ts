import type { GroupState, Position, StreamSpec } from "@waybill/core";
import { type Item, type Moment, comeBack } from "./item.ts";
import type { Sent } from "./sent.ts";
import { Violation } from "./violation.ts";

/** Says of an item whether a seek makes it come again, passes it over, or leaves it as it is. */
export type SeekPlace = (item: Item) => "again" | "passed" | "as it is";

export const unfinishedStates: ReadonlySet<Item["state"]> = new Set([
  "ready",
  "scheduled",
  "held",
  "orphan",
]);

/** One stream and its groups. */
export class Log {
  readonly #spec: StreamSpec;
  readonly #items: () => IterableIterator<Item>;
  readonly #log: Sent[] = [];
  readonly #groups = new Set<string>();
  readonly #unstable = new Set<string>();
  /** By key, as deliveries have shown it. */
  readonly #partitions = new Map<string | undefined, number>();
  /** By id. */
  readonly #positions = new Map<string, Position>();

  /** Items that retention has removed; only of a stream with one partition. */
  #oldest = 0;
  /** Ids of those that were overtaken, which is right only if they were removed by then. */
  readonly #overtaken = new Set<string>();

  constructor(spec: StreamSpec, items: () => IterableIterator<Item>) {
    this.#spec = spec;
    this.#items = items;
  }

  get sent(): readonly Sent[] {
    return this.#log;
  }

  get groups(): ReadonlySet<string> {
    return this.#groups;
  }

  append(sent: Sent): void {
    this.#log.push(sent);
  }

  /** False when the group is there already. */
  add(group: string): boolean {
    if (this.#groups.has(group)) return false;
    this.#groups.add(group);
    return true;
  }

  isUnstable(group: string): boolean {
    return this.#unstable.has(group);
  }

  /** The members of a group change: from now on its partitions may move, and begin again at what was not done. */
  unsettle(group: string): void {
    this.#unstable.add(group);
    for (const item of this.#items()) if (item.address === group) this.mayRepeat(item);
  }

  mayRepeat(item: Item): void {
    if (!this.#unstable.has(item.address) || item.kind !== "log" || item.state !== "gone") return;
    for (const other of this.#items()) {
      if (other.address !== item.address || other.kind !== "log") continue;
      if (other.order < item.order && (unfinishedStates.has(other.state) || other.mayRepeat))
        item.mayRepeat = true;
    }
  }

  /** All items of a key are in one partition, and each keeps its place, whichever group reads it. */
  learn({ id, key, address }: Item, position: Position | undefined): void {
    if (position === undefined) throw new Violation(`${id} came at ${address} without a position`);
    const { partition, offset } = position;
    const known = this.#positions.get(id) ?? position;
    const home = this.#partitions.get(key) ?? partition;
    if (known.offset !== offset || known.partition !== partition || home !== partition)
      throw new Violation(
        `${id} of ${key} came at ${address} from ${partition}:${offset}, not ${home}:${known.offset}`,
      );
    this.#positions.set(id, position);
    this.#partitions.set(key, partition);
  }

  /** Where the item of that id is, and what a seek to it does; undefined while not every key's partition is known. */
  placeOf(id: string): { readonly position: Position; readonly place: SeekPlace } | undefined {
    const position = this.#positions.get(id);
    const known = this.#log.every(({ key }) => this.#partitions.has(key));
    if (position === undefined || !known) return undefined;
    const ids = this.#log.map((sent) => sent.id);
    const place: SeekPlace = ({ id: other, key }) => {
      if (this.#partitions.get(key) !== position.partition) return "as it is";
      return ids.indexOf(other) < ids.indexOf(id) ? "passed" : "again";
    };
    return { position, place };
  }

  /** Puts a group to another place. What its readers hold there is not theirs any more. */
  seek(group: string, place: SeekPlace, moment: Moment): void {
    for (const item of this.#items()) {
      if (item.address !== group || item.kind !== "log") continue;
      const where = place(item);
      if (where === "as it is") continue;
      comeBack(item, moment);
      item.attempt = 0;
      item.mayRepeat = false;
      if (where === "passed" || item.removed) item.state = "gone";
    }
  }

  /** Whether retention may have removed an item since the last look. The next look must find that it has. */
  mayBeRemoved({ id }: Item, { now }: Moment): boolean {
    const place = this.#log.findIndex((sent) => sent.id === id);
    if (!this.#isOver(place, now)) return false;
    this.#overtaken.add(id);
    return true;
  }

  /** Holds the places of the groups against what was done, and takes over what retention has removed. */
  reached(groups: readonly GroupState[], moment: Moment): void {
    for (const { group, partitions } of groups) {
      const words = `${this.#spec.name}@${group}`;
      const end = partitions.reduce((sum, partition) => sum + partition.end, 0);
      if (end !== this.#log.length)
        throw new Violation(`${words} ends at ${end}, not ${this.#log.length}`);
      const [only] = partitions;
      if (only === undefined || partitions.length > 1) continue;
      this.#remove(only.oldest, moment);
      const passed = new Set(this.#log.slice(only.oldest, only.committed).map(({ id }) => id));
      for (const { address, kind, id, state } of this.#items()) {
        if (address !== words || kind !== "log" || !passed.has(id)) continue;
        if (unfinishedStates.has(state)) throw new Violation(`${words} has passed ${id}: ${state}`);
      }
    }
  }

  #remove(oldest: number, { now, slowMs }: Moment): void {
    const { ageMs = Infinity } = this.#spec.retention;
    for (const [place, { id, sentAt }] of this.#log.entries()) {
      const words = `${this.#spec.name} with ${this.#bytesFrom(place)} bytes from ${id} on, ${now - sentAt} ms old`;
      if (place < oldest && place >= this.#oldest && !this.#isOver(place, now))
        throw new Violation(`${words}, has removed it`);
      if (place >= oldest && now - sentAt > ageMs + slowMs)
        throw new Violation(`${words}, still has it`);
      if (place >= oldest && this.#overtaken.has(id))
        throw new Violation(`${words}, still has it, and it was overtaken`);
    }
    if (oldest < this.#oldest) throw new Violation(`${this.#spec.name} has removed items again`);
    this.#oldest = oldest;
    const gone = new Set(this.#log.slice(0, oldest).map(({ id }) => id));
    for (const item of this.#items()) {
      if (item.kind !== "log" || !item.address.startsWith(`${this.#spec.name}@`)) continue;
      if (!gone.has(item.id) || item.removed) continue;
      item.removed = true;
      item.orderly = false;
      if (item.state !== "held" && item.state !== "gone") {
        item.mayRepeat = true;
        item.state = "gone";
      }
    }
  }

  /** Retention may remove the item in that place. */
  #isOver(place: number, now: number): boolean {
    const { ageMs = Infinity, bytes: bytesMax = Infinity } = this.#spec.retention;
    const age = now - (this.#log[place]?.sentAt ?? now);
    return age > ageMs || this.#bytesFrom(place) > bytesMax;
  }

  #bytesFrom(place: number): number {
    return this.#log.slice(place).reduce((sum, { id }) => sum + id.length, 0);
  }
}
