import type { Position } from "@waybill/core";
import type { ConsumeMessage } from "amqplib";
import { type Read, offsetOf } from "../message.ts";
import type { ItemSettler } from "./delivery.ts";
import { StreamDelivery } from "./delivery.ts";

interface Claim {
  readonly partition: number;
  readonly epoch: number;
  readonly committed: number;
  /** How often the item at `committed` may have been run before. */
  readonly runs: number;
}

interface Arrived {
  readonly read: Read;
  readonly offset: number;
  readonly bytes: number;
  /** Lets the server send the next one. */
  readonly free: () => void;
}

/** A partition that this process reads, from the claim on. */
export class PartitionReader {
  readonly partition: number;
  readonly epoch: number;
  readonly #claim: Claim;
  /** Came and was not handed over. */
  readonly #arrived: Arrived[] = [];
  /** Handed over and not settled, or given back; by offset, which rises. */
  readonly #held = new Map<number, StreamDelivery | Arrived>();
  /** Given back, to be handed over again. */
  #returned: Arrived[] = [];
  readonly #items = new Map<StreamDelivery, Arrived>();
  #next: number;
  #committed: number;
  #done: number;
  /** It is to pass to another member: nothing is handed over any more. */
  isLeaving = false;
  /** The first item that came. */
  #head: number | undefined;
  /** Somebody else reads it, or nobody. */
  isLost = false;

  constructor(claim: Claim) {
    this.#claim = claim;
    this.partition = claim.partition;
    this.epoch = claim.epoch;
    this.#next = claim.committed;
    this.#committed = claim.committed;
    this.#done = claim.committed;
  }

  /** The offset to fetch next. */
  get next(): number {
    return this.#next;
  }

  /** Everything below is done. */
  get done(): number {
    return this.#done;
  }

  get isDirty(): boolean {
    return this.#done > this.#committed;
  }

  get isIdle(): boolean {
    return this.#items.size === 0;
  }

  get hasWork(): boolean {
    return this.#returned.length + this.#arrived.length > 0 && !this.isLeaving && !this.isLost;
  }

  /** Its place moved on without anything being done, and that is not written down yet. */
  get hasSkipped(): boolean {
    return this.isDirty && this.#done === this.#head;
  }

  /** Bytes of what would be handed over next. */
  get nextBytes(): number {
    return (this.#returned[0] ?? this.#arrived[0])?.bytes ?? 0;
  }

  take(message: ConsumeMessage, read: Read, free: () => void): void {
    const offset = offsetOf(message);
    // After a reconnect the server begins where it was asked to; older ones were here before.
    if (offset < this.#next) return free();
    this.#next = offset + 1;
    this.#head ??= this.#begin(offset);
    this.#arrived.push({ read, offset, bytes: message.content.byteLength, free });
  }

  /** Retention removed what stood between: deaths are counted at the place of the group, so that goes along. */
  #begin(offset: number): number {
    if (offset > this.#claim.committed + 1) this.#done = offset;
    return offset;
  }

  handOver(settler: ItemSettler): StreamDelivery | undefined {
    const returned = this.#returned.shift();
    const item = returned ?? this.#arrived.shift();
    if (item === undefined) return undefined;
    if (returned === undefined) item.free();
    const { read, offset, bytes } = item;
    const { committed, runs } = this.#claim;
    // One offset may be missing in between, where a segment of the server begins.
    const isHead = offset === this.#head && offset <= committed + 1;
    const attempt = isHead ? runs + 1 : 1;
    const position: Position = { partition: this.partition, offset };
    const delivery = new StreamDelivery({ read, position, attempt, bytes }, settler);
    this.#held.set(offset, delivery);
    this.#items.set(delivery, item);
    return delivery;
  }

  /** It is done. Answers whether what can be committed has grown. */
  finish(delivery: StreamDelivery): boolean {
    this.#items.delete(delivery);
    this.#held.delete(delivery.position.offset);
    const before = this.#done;
    this.#done = this.#lowest;
    return this.#done > before;
  }

  /** It is handed over again before those behind it. */
  giveBack(delivery: StreamDelivery): void {
    const item = this.#items.get(delivery);
    if (item === undefined) return;
    this.#items.delete(delivery);
    this.#held.set(item.offset, item);
    this.#returned = [...this.#returned, item].toSorted((one, other) => one.offset - other.offset);
  }

  holds(delivery: StreamDelivery): boolean {
    return this.#items.has(delivery);
  }

  committed(offset: number): void {
    this.#committed = Math.max(this.#committed, offset);
  }

  /** Answers what was held. */
  lose(): readonly StreamDelivery[] {
    this.isLost = true;
    const held = [...this.#items.keys()];
    this.#items.clear();
    this.#held.clear();
    return held;
  }

  /** The first that is not done. */
  get #lowest(): number {
    // They were added in their order, and keep their place.
    for (const offset of this.#held.keys()) return offset;
    return this.#arrived[0]?.offset ?? this.#next;
  }
}
