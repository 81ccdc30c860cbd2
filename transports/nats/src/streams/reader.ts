import type { Settled } from "@waybill/core";
import type { Records } from "../records.ts";
import type { GroupName } from "../topology.ts";
import { type Cursor, readCursor, unowned, writeCursor } from "./cursor.ts";
import type { StreamDelivery } from "./delivery.ts";
import { Feed, type FeedParts } from "./feed.ts";
import { Hand, type HandParts, type Held, isOfLog } from "./hand.ts";
import { Replays, type ReplaysParts } from "./replays.ts";

export interface ReaderParts
  extends
    Omit<FeedParts, "stream" | "arrived">,
    Omit<HandParts, "stream" | "feed" | "replays">,
    ReplaysParts {
  readonly records: Records;
  readonly group: GroupName;
  readonly member: string;
  /** Nothing is to be delivered for now. */
  readonly rests: () => boolean;
  readonly deliver: (batch: readonly StreamDelivery[]) => void;
  /** There is room, in other partitions too. */
  readonly freed: () => void;
  /** Somebody else may have the partition now. */
  readonly gone: (reader: PartitionReader) => void;
}

/** What waits for the next write. */
interface Ending {
  readonly held: Held;
  /** It goes on where it is, as the next attempt. */
  readonly isRun?: boolean;
  readonly resolve: (settled: Settled) => void;
}

/** What one write of the cursor says. */
interface Step {
  readonly handing: readonly Held[];
  readonly endings: readonly Ending[];
  readonly leaves: boolean;
}

const againMs = 500;
const lastPatienceMs = 2_000;

/**
 * One partition in the hands of one member. Every change is one write of its cursor against the revision that it knows: what is about to be
 * delivered stands there before a handler sees it, and who was overtaken learns it by being refused.
 */
export class PartitionReader {
  readonly partition: number;
  readonly #parts: ReaderParts;
  readonly #feed: Feed;
  readonly #replays: Replays;
  readonly #hand: Hand;
  readonly #subject: string;
  #moved: number;
  #revision: number;
  #endings: Ending[] = [];
  /** Of those, what is on its way. */
  #writing: readonly Ending[] = [];
  #leaving = false;
  #touched = false;
  #dirty = false;
  #isDue = false;
  #isRunning = false;
  #running: Promise<void> | undefined;
  #over = false;

  constructor(parts: ReaderParts, cursor: Cursor, revision: number) {
    const { names, group, partition } = parts;
    const stream = names.partitionStream(group.stream, partition);
    this.#parts = parts;
    this.partition = partition;
    this.#subject = names.cursorSubject(group, partition);
    this.#moved = cursor.moved;
    this.#revision = revision;
    this.#replays = new Replays(parts, cursor);
    this.#feed = new Feed({ ...parts, stream, arrived: () => this.soon() });
    this.#hand = new Hand({ ...parts, stream, feed: this.#feed, replays: this.#replays }, cursor);
    this.lookAgain();
  }

  get isLeaving(): boolean {
    return this.#leaving;
  }

  /** Whether the stored cursor is still the one that this reader writes. */
  isStill({ owner, moved }: Cursor): boolean {
    return owner === this.#parts.member && moved === this.#moved;
  }

  get moved(): number {
    return this.#moved;
  }

  has(delivery: StreamDelivery): boolean {
    return this.#hand.of(delivery) !== undefined;
  }

  /** Hands over what one read of the socket brought together. A process that stands still does not. */
  soon(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#parts.environment.timers.soon(() => {
      this.#isDue = false;
      this.kick();
    });
  }

  /** Looks whether there is something to write down or to deliver. */
  kick(): void {
    this.#dirty = true;
    if (!this.#isRunning) this.#running = this.#run();
  }

  /** The cursor may not be its own any more: looks. */
  touch(): void {
    this.#touched = true;
    this.kick();
  }

  /** Something may have been put back to the group. */
  lookAgain(): void {
    this.#feed.ask();
    this.#replays.scan().then(
      () => this.kick(),
      (error: unknown) => this.#parts.fault(error),
    );
  }

  reconnected(): void {
    if (!this.#leaving) this.#feed.reconnected();
    this.lookAgain();
  }

  /** Resolves when that is written down. */
  finish(delivery: StreamDelivery): Promise<Settled> {
    const held = this.#hand.of(delivery);
    if (held === undefined) return Promise.resolve("lockLost");
    this.#hand.release(delivery);
    held.state = "ending";
    return new Promise((resolve) => {
      this.#endings.push({ held, resolve });
      this.kick();
      this.#parts.freed();
    });
  }

  /** Resolves when one run more is written down. */
  async countRun(delivery: StreamDelivery): Promise<Settled> {
    const held = this.#hand.of(delivery);
    if (held === undefined) return "lockLost";
    held.attempt += 1;
    const settled = this.#hand.counts(held)
      ? await new Promise<Settled>((resolve) => {
          this.#endings.push({ held, isRun: true, resolve });
          this.kick();
        })
      : "settled";
    if (settled === "settled") delivery.attempt = held.attempt;
    return settled;
  }

  /** It comes again as the same attempt, before what was not delivered yet. */
  giveBack(delivery: StreamDelivery): Settled {
    const held = this.#hand.of(delivery);
    if (held === undefined) return "lockLost";
    this.#hand.giveBack(held);
    this.kick();
    this.#parts.freed();
    return "settled";
  }

  /** Gives the partition up as soon as no handler has anything of it. */
  leave(): void {
    if (this.#leaving) return;
    this.#leaving = true;
    this.#feed.close();
    this.kick();
  }

  /** Gives it up at once; what was not settled counts as attempted. */
  async abandon(): Promise<void> {
    this.leave();
    await this.#running;
    if (this.#over) return;
    const text = writeCursor(this.#cursor(unowned));
    const expected = this.#revision;
    this.lose();
    const { records, fault } = this.#parts;
    const write = { text, expected, patienceMs: lastPatienceMs };
    await records.put(this.#subject, write).catch((error: unknown) => fault(error));
  }

  /** Everything may be somebody else's by now. */
  lose(): void {
    if (this.#over) return;
    this.#end();
    this.#hand.drop(this.#hand.deliveries);
    for (const { resolve } of this.#endings.splice(0)) resolve("lockLost");
    for (const { resolve } of this.#writing) resolve("unknown");
    this.#parts.freed();
  }

  #end(): void {
    this.#over = true;
    this.#feed.close();
    this.#parts.gone(this);
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (this.#dirty && !this.#over) {
      this.#dirty = false;
      const handing = this.#leaving || this.#parts.rests() ? [] : this.#hand.take();
      const endings = this.#endings.splice(0);
      const leaves = this.#leaving && !this.#hand.isBusy;
      if (handing.length === 0 && endings.length === 0 && !leaves && !this.#touched) continue;
      this.#touched = false;
      await this.#write({ handing, endings, leaves });
    }
    this.#isRunning = false;
  }

  async #write(step: Step): Promise<void> {
    const { records, member, fault } = this.#parts;
    const text = writeCursor(this.#cursor(step.leaves ? unowned : member));
    this.#writing = step.endings;
    try {
      const revision = await records.put(this.#subject, { text, expected: this.#revision });
      if (revision === undefined) return await this.#refused(step);
      this.#revision = revision;
      this.#written(step);
    } catch (error) {
      fault(error);
      this.#unsure(step);
    }
  }

  #cursor(owner: string): Cursor {
    return { ...this.#hand.reached, owner, moved: this.#moved };
  }

  #written({ handing, endings, leaves }: Step): void {
    for (const { held, isRun, resolve } of endings) {
      if (isRun !== true) this.#endOf(held);
      resolve(this.#over ? "lockLost" : "settled");
    }
    if (this.#over) return;
    if (leaves) return this.#end();
    const batch: StreamDelivery[] = [];
    for (const held of handing) {
      if (held.state !== "handing" || held.delivery === undefined) continue;
      if (this.#leaving || this.#parts.rests()) this.#hand.giveBack(held);
      else {
        held.state = "open";
        batch.push(held.delivery);
      }
    }
    if (batch.length > 0) this.#parts.deliver(batch);
  }

  #endOf(held: Held): void {
    this.#hand.done(held);
    if (!isOfLog(held)) void this.#replays.remove(held);
  }

  /** Nobody knows whether it was written: the next write finds out. */
  #unsure({ handing, endings }: Step): void {
    for (const { held, isRun, resolve } of endings) {
      if (isRun !== true) this.#hand.done(held);
      resolve("unknown");
    }
    for (const held of handing) this.#hand.giveBack(held);
    this.#parts.environment.timers.set(() => this.touch(), againMs);
  }

  /** Somebody else has written: the group was put to another place, or another member has the partition. */
  async #refused({ handing, endings }: Step): Promise<void> {
    const stored = await this.#parts.records.get(this.#subject);
    const cursor = stored === undefined ? undefined : readCursor(stored.text);
    this.#endings.push(...endings);
    if (stored === undefined || cursor?.owner !== this.#parts.member) return this.lose();
    for (const held of handing) this.#hand.giveBack(held);
    this.#revision = stored.revision;
    if (cursor.moved !== this.#moved) this.#moveTo(cursor);
    this.touch();
  }

  #moveTo(cursor: Cursor): void {
    this.#moved = cursor.moved;
    const lost = this.#endings.filter(({ held }) => isOfLog(held));
    this.#endings = this.#endings.filter(({ held }) => !isOfLog(held));
    for (const { resolve } of lost) resolve("lockLost");
    this.#hand.moveTo(cursor);
    if (this.#leaving) this.#feed.close();
    this.#parts.freed();
  }
}
