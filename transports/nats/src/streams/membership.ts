import type { Environment, Timer } from "@waybill/core";
import { parsedJson } from "@waybill/core/adapter";
import type { Subscription } from "@nats-io/transport-node";
import type { Link } from "../link.ts";
import type { Records, Stored } from "../records.ts";
import type { GroupName, Names } from "../topology.ts";
import { type Cursor, readCursor } from "./cursor.ts";
import type { Member } from "./share.ts";

export interface MembershipParts {
  readonly link: Link;
  readonly names: Names;
  readonly records: Records;
  readonly environment: Environment;
  readonly group: GroupName;
  readonly lockMs: number;
  /** Somebody came, left, or moved something; or it is time to look. */
  readonly look: () => void;
  /** The others may have taken it for dead. */
  readonly expired: () => void;
  readonly fault: (error: unknown) => void;
}

interface MemberRecord extends Member {
  readonly lockMs: number;
  /** It reads to its end what it has, and takes nothing more. */
  readonly leaving: boolean;
}

/** What one member sees of its group. */
export interface View {
  /** Who takes part in the sharing. */
  readonly members: readonly Member[];
  /** Who lives, those who are leaving too. */
  readonly alive: ReadonlySet<string>;
  readonly cursors: ReadonlyMap<number, { readonly cursor: Cursor; readonly revision: number }>;
}

const beatsPerLock = 3;
const shortestBeatMs = 20;

/** One member of a group: signs of life, and what the others do. */
export class Membership {
  readonly id: string;
  readonly #parts: MembershipParts;
  readonly #since: number;
  readonly #subscription: Subscription;
  #timer: Timer | undefined;
  /** When its last sign of life began that the server has. */
  #seenAt: number | undefined;
  #leaving = false;
  #ended = false;

  constructor(parts: MembershipParts) {
    const { environment, link, names, group } = parts;
    this.#parts = parts;
    this.id = environment.id();
    this.#since = environment.clock.now();
    this.#subscription = link.connection.subscribe(names.signalSubject(group), {
      callback: () => parts.environment.timers.soon(() => this.#look()),
    });
  }

  /** Whether the others cannot have taken it for dead. */
  get isAlive(): boolean {
    const { environment, lockMs } = this.#parts;
    return this.#seenAt !== undefined && environment.clock.monotonic() - this.#seenAt <= lockMs;
  }

  async join(): Promise<void> {
    await this.#beat();
    this.signal();
    this.#beatLater();
  }

  /** It takes no more partitions. */
  async leave(): Promise<void> {
    this.#leaving = true;
    if (this.#seenAt === undefined) return;
    await this.#beat();
    this.signal();
  }

  async end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    this.#subscription.unsubscribe();
    const { records, names, group } = this.#parts;
    const own = await records.get(names.memberSubject(group, this.id));
    if (own !== undefined) await records.remove(own);
    this.signal();
  }

  /** The others look at once. Who misses it looks at its next sign of life. */
  signal(): void {
    const { link, names, group } = this.#parts;
    if (!link.connection.isClosed()) link.connection.publish(names.signalSubject(group));
  }

  async view(): Promise<View> {
    const { records, names, group } = this.#parts;
    const subjects = await records.subjects(names.recordsOf(group));
    const found = await Promise.all(
      subjects.map(async (subject) => ({ subject, stored: await records.get(subject) })),
    );
    const cursors = new Map<number, { cursor: Cursor; revision: number }>();
    const all: { readonly stored: Stored; readonly member: MemberRecord }[] = [];
    for (const { subject, stored } of found) {
      if (stored === undefined) continue;
      const partition = names.readCursorSubject(subject)?.partition;
      const cursor = partition === undefined ? undefined : readCursor(stored.text);
      const member = partition === undefined ? readMember(stored.text) : undefined;
      if (partition !== undefined && cursor !== undefined)
        cursors.set(partition, { cursor, revision: stored.revision });
      if (member !== undefined) all.push({ stored, member });
    }
    const living = await this.#living(all);
    return {
      cursors,
      members: living.filter(({ leaving }) => !leaving),
      alive: new Set(living.map(({ id }) => id)),
    };
  }

  /** By the server's clock alone: its own sign of life says what time it is there. */
  async #living(
    all: readonly { readonly stored: Stored; readonly member: MemberRecord }[],
  ): Promise<readonly MemberRecord[]> {
    const own = all.find(({ member }) => member.id === this.id);
    if (own === undefined) {
      if (!this.#ended) await this.#beat();
      return [...all.map(({ member }) => member), this.#record()];
    }
    const living: MemberRecord[] = [];
    for (const { stored, member } of all)
      if (own.stored.at - stored.at <= member.lockMs) living.push(member);
      else await this.#parts.records.remove(stored);
    return living;
  }

  #record(): MemberRecord {
    const { id } = this;
    return { id, since: this.#since, lockMs: this.#parts.lockMs, leaving: this.#leaving };
  }

  async #beat(): Promise<void> {
    const { records, names, group, environment } = this.#parts;
    const askedAt = environment.clock.monotonic();
    const text = JSON.stringify(this.#record());
    // Not longer than until the next one: who hears nothing has to notice in time.
    await records.put(names.memberSubject(group, this.id), { text, patienceMs: this.#everyMs });
    this.#seenAt = Math.max(this.#seenAt ?? 0, askedAt);
  }

  #beatLater(): void {
    if (this.#ended) return;
    this.#timer = this.#parts.environment.timers.set(() => void this.#tick(), this.#everyMs);
  }

  get #everyMs(): number {
    return Math.max(shortestBeatMs, this.#parts.lockMs / beatsPerLock);
  }

  async #tick(): Promise<void> {
    if (!this.isAlive) this.#parts.expired();
    try {
      await this.#beat();
      this.#look();
    } catch (error) {
      if (!this.isAlive) this.#parts.expired();
      if (!this.#ended) this.#parts.fault(error);
    }
    this.#beatLater();
  }

  #look(): void {
    if (!this.#ended) this.#parts.look();
  }
}

function readMember(text: string): MemberRecord | undefined {
  const read = parsedJson(text);
  if (typeof read !== "object" || read === null) return undefined;
  const { id, since, lockMs, leaving } = read as Partial<MemberRecord>;
  if (typeof id !== "string" || typeof since !== "number" || typeof lockMs !== "number")
    return undefined;
  return { id, since, lockMs, leaving: leaving === true };
}
