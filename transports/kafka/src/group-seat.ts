import { sleep } from "@waybill/core";
import { type PartitionKey, partitionOf } from "./assignment.ts";
import { isExpelled, isMoved, isRegrouped } from "./codes.ts";
import { brokerError } from "./errors.ts";
import type { Assignment, SeekRequest } from "./joining.ts";
import { Membership, type MembershipParts } from "./membership.ts";
import { commitTopics, committed, earliest, latest, listOffsets } from "./offsets.ts";
import { beginning } from "./progress.ts";
import type { Holder, Placed, Seat } from "./seat.ts";
import { Trimming } from "./trimming.ts";
import type { Window } from "./window.ts";

export interface GroupSeatParts extends MembershipParts {
  /** Where to begin in a partition in which the group never was. */
  readonly start: "earliest" | "latest";
  /** Whether what is handled may be deleted: nobody else reads that topic. */
  readonly isOurs: (topic: string) => boolean;
}

const [pauseMs, pauseMsMax] = [20, 1_000];

/** A member's place in a consumer group, and what the group keeps. */
export class GroupSeat implements Seat {
  readonly #parts: GroupSeatParts;
  readonly #trimming: Trimming;
  #holder: Holder | undefined;
  #membership: Membership | undefined;
  /** What is this member's until it is released or lost. */
  readonly #owned = new Set<PartitionKey>();
  /** Of those, what it is to give up. */
  readonly #wanted = new Set<PartitionKey>();
  /** Of those, what it is not yet known of from where it is to be read; by whom that is being asked. */
  readonly #opening = new Map<PartitionKey, object>();
  #seeks: readonly SeekRequest[] = [];
  /** The last seek that each partition has followed. */
  readonly #followed = new Map<PartitionKey, number>();
  #isLeaving = false;
  #closed = false;

  constructor(parts: GroupSeatParts) {
    this.#parts = parts;
    this.#trimming = new Trimming(parts);
  }

  begin(holder: Holder): void {
    this.#holder = holder;
    this.#membership = new Membership(this.#parts, {
      said: () => ({ owned: [...this.#owned], leaving: this.#isLeaving }),
      assigned: (assignment) => this.#assigned(assignment, holder),
      lost: () => this.#lost(holder),
      fault: (error) => holder.fault(error),
    });
  }

  isSure(): boolean {
    return this.#membership?.isLeased ?? false;
  }

  async confirm(): Promise<boolean> {
    return (await this.#membership?.confirm()) ?? false;
  }

  release(key: PartitionKey): void {
    if (!this.#owned.delete(key)) return;
    this.#wanted.delete(key);
    this.#opening.delete(key);
    if (!this.#isLeaving || this.#owned.size > 0) this.#membership?.rejoin();
    else void this.#go();
  }

  leave(): void {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    if (this.#owned.size > 0) this.#membership?.rejoin();
    else void this.#go();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#trimming.close();
    await this.#membership?.close();
  }

  async keep(windows: readonly Window[]): Promise<void> {
    const { environment } = this.#parts;
    for (let failed = 0; ; failed++) {
      const left = windows.filter(({ key, lost }) => !lost && this.#owned.has(key));
      if (left.length === 0 || this.#closed) return;
      try {
        for (const window of left) window.dirty = false;
        return await this.#commit(left);
      } catch (thrown) {
        for (const window of left) window.dirty = true;
        // Who lost his place hears of it by his next sign of life. What cannot be mended by waiting is told.
        const error = brokerError("Committing", thrown);
        const isPassing = isRegrouped(thrown) || isExpelled(thrown) || isMoved(thrown);
        if (!isPassing && !error.retryable) throw error;
      }
      const waitMs = Math.min(pauseMs * 2 ** failed, pauseMsMax) * (0.5 + environment.random());
      await sleep(environment.timers, waitMs);
    }
  }

  async #commit(windows: readonly Window[]): Promise<void> {
    const commits = windows.map(({ key, progress }) => ({ key, ...progress }));
    await this.#membership?.commit(commitTopics(commits));
    for (const { key, offset } of commits)
      if (this.#parts.isOurs(partitionOf(key).topic)) this.#trimming.note(key, BigInt(offset));
  }

  #assigned({ keys, seeks }: Assignment, holder: Holder): void {
    this.#seeks = seeks;
    const mine = new Set(this.#isLeaving ? [] : keys);
    const held = [...this.#owned].filter((key) => !this.#opening.has(key));
    const added = [...mine].filter((key) => !this.#owned.has(key));
    const gone = [...this.#owned].filter((key) => !mine.has(key) && !this.#wanted.has(key));
    const sought = held.flatMap((key) => this.#soughtIn(key) ?? []);
    if (sought.length > 0) holder.sought(sought);
    for (const key of added) this.#owned.add(key);
    if (added.length > 0) void this.#open(added, holder);
    // What was not opened yet has nothing in hand.
    for (const key of gone) {
      this.#wanted.add(key);
      if (this.#opening.has(key)) this.release(key);
    }
    const wanted = gone.filter((key) => this.#owned.has(key));
    if (wanted.length > 0) holder.wanted(wanted);
  }

  #lost(holder: Holder): void {
    const keys = [...this.#owned];
    this.#owned.clear();
    this.#wanted.clear();
    this.#opening.clear();
    if (keys.length > 0) holder.lost(keys);
    if (this.#isLeaving) void this.#go();
  }

  async #open(keys: readonly PartitionKey[], holder: Holder): Promise<void> {
    const round = {};
    for (const key of keys) this.#opening.set(key, round);
    for (let failed = 0; ; failed++) {
      const left = keys.filter((key) => this.#opening.get(key) === round);
      if (left.length === 0 || this.#closed) return;
      try {
        const places = await this.#places(left);
        // Some of them may have been lost or given up meanwhile.
        const mine = places.filter(({ key }) => this.#opening.get(key) === round);
        for (const { key } of mine) this.#opening.delete(key);
        return holder.assigned(mine.map((place) => this.#soughtIn(place.key, place.seek) ?? place));
      } catch (error) {
        holder.fault(error);
      }
      await sleep(this.#parts.environment.timers, Math.min(pauseMs * 2 ** failed, pauseMsMax));
    }
  }

  async #places(keys: readonly PartitionKey[]): Promise<readonly Placed[]> {
    const { group, client, start } = this.#parts;
    const membership = this.#membership;
    if (membership === undefined) return [];
    const found = await committed(membership.ask.bind(membership), group, keys);
    const places: Placed[] = [];
    for (const key of keys) {
      const { topic, partition } = partitionOf(key);
      // Nobody begins with the end of what is given back.
      const at = start === "latest" && !this.#parts.isOurs(topic) ? latest : earliest;
      const wanted = { at, partitions: [partition] };
      const known = found.get(key);
      if (known !== undefined) places.push({ key, ...known });
      else {
        const first = await listOffsets(client, topic, wanted);
        places.push({ key, ...beginning(first.get(partition) ?? 0) });
      }
    }
    return places;
  }

  /** Where somebody put the group since; undefined when nobody did. */
  #soughtIn(key: PartitionKey, known = this.#followed.get(key) ?? 0): Placed | undefined {
    this.#followed.set(key, known);
    for (const { number, offsets } of this.#seeks.toReversed()) {
      const offset = offsets.find(([named]) => named === key)?.[1];
      if (offset === undefined || number <= known) continue;
      this.#followed.set(key, number);
      return { key, ...beginning(offset, number) };
    }
    return undefined;
  }

  async #go(): Promise<void> {
    await this.close();
    this.#holder?.left();
  }
}
