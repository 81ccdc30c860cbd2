import { readMessage } from "../message.ts";
import { type Pulled, storedAt } from "../pull.ts";
import type { Budget } from "./budget.ts";
import type { Cursor } from "./cursor.ts";
import { StreamDelivery, type StreamItem, type StreamSettler } from "./delivery.ts";
import type { Feed } from "./feed.ts";
import { type Entry, Progress } from "./progress.ts";
import type { Replay, Replays } from "./replays.ts";

export interface HandParts {
  /** The JetStream stream of the partition. */
  readonly stream: string;
  readonly partition: number;
  readonly budget: Budget;
  readonly settler: StreamSettler;
  readonly feed: Feed;
  readonly replays: Replays;
}

/** An item of the log, or one that was put back to the group. */
export type Held = Entry | Replay;

/** What a reader of one partition holds, and what it takes next. */
export class Hand {
  readonly #parts: HandParts;
  readonly #held = new Map<StreamDelivery, Held>();
  #progress: Progress;

  constructor(parts: HandParts, cursor: Cursor) {
    this.#parts = parts;
    this.#progress = new Progress(cursor);
    parts.feed.from(cursor.committed);
  }

  /** Something of it is with a handler, or on its way there. */
  get isBusy(): boolean {
    return this.#progress.isBusy || this.#parts.replays.isBusy;
  }

  get deliveries(): readonly StreamDelivery[] {
    return [...this.#held.keys()];
  }

  /** Of the cursor, what it decides. */
  get reached(): Pick<Cursor, "committed" | "delivered" | "attempt" | "replays"> {
    return { ...this.#progress.reached, replays: this.#parts.replays.attempts };
  }

  of(delivery: StreamDelivery): Held | undefined {
    return this.#held.get(delivery);
  }

  /** What is delivered next: what came back first, then what was put back to the group, then what follows in the log. */
  take(): readonly Held[] {
    const { budget, replays, feed } = this.#parts;
    const taken: Held[] = [];
    for (const entry of this.#progress.returned) {
      if (!budget.fits(entry.delivery.item.bytes)) return taken;
      taken.push(this.#hold(entry, entry.delivery.item));
    }
    for (const replay of replays.waiting) {
      if (!budget.fits(replay.item.bytes)) return taken;
      taken.push(this.#hold(replay, replay.item));
    }
    for (let next = feed.peek(); next !== undefined; next = feed.peek()) {
      if (!this.#progress.mayGoOn || !budget.fits(next.raw.data.byteLength)) break;
      feed.shift();
      taken.push(this.#begin(next));
    }
    return taken;
  }

  /** Whether a run of it that is counted stands in the cursor. */
  counts(held: Held): boolean {
    return !isOfLog(held) || this.#progress.isFirst(held);
  }

  /** No handler has it any more. */
  release(delivery: StreamDelivery): void {
    if (this.#held.delete(delivery)) this.#parts.budget.give(delivery.item.bytes);
  }

  /** It comes again as the same attempt. */
  giveBack(held: Held): void {
    if (held.delivery === undefined || !this.#held.has(held.delivery)) return;
    this.release(held.delivery);
    held.state = isOfLog(held) ? "returned" : "waiting";
  }

  /** Its end is written down. */
  done(held: Held): void {
    if (isOfLog(held)) held.state = "done";
    this.#progress.settleDown();
  }

  drop(deliveries: readonly StreamDelivery[]): void {
    for (const delivery of deliveries) this.release(delivery);
    for (const delivery of deliveries) delivery.lose();
  }

  /** The group was put to another place: what was read of the log counts no more. */
  moveTo(cursor: Cursor): void {
    const ofLog = [...this.#held].filter(([, held]) => isOfLog(held));
    this.#progress = new Progress(cursor);
    this.#parts.feed.from(cursor.committed);
    this.drop(ofLog.map(([delivery]) => delivery));
  }

  #hold(held: Held, item: StreamItem): Held {
    const delivery = new StreamDelivery(item, held.attempt, this.#parts.settler);
    held.delivery = delivery;
    held.state = "handing";
    this.#held.set(delivery, held);
    this.#parts.budget.take(item.bytes);
    return held;
  }

  #begin(pulled: Pulled): Entry {
    const item = this.#itemOf(pulled);
    const { offset } = item.position;
    const attempt = this.#progress.attemptOf(offset);
    const delivery = new StreamDelivery(item, attempt, this.#parts.settler);
    const entry: Entry = { offset, attempt, state: "handing", delivery };
    this.#progress.entries.set(offset, entry);
    this.#progress.next = offset + 1;
    this.#held.set(delivery, entry);
    this.#parts.budget.take(item.bytes);
    return entry;
  }

  #itemOf(pulled: Pulled): StreamItem {
    const { stream, partition } = this.#parts;
    const offset = pulled.sequence - 1;
    const taken = { at: storedAt(pulled), name: `${stream}.${pulled.sequence}` };
    const { envelope, enqueuedAt } = readMessage(pulled.raw, taken);
    return {
      envelope,
      enqueuedAt,
      failure: undefined,
      token: undefined,
      position: { partition, offset },
      bytes: pulled.raw.data.byteLength,
    };
  }
}

export function isOfLog(held: Held): held is Entry {
  return "offset" in held;
}
