import { Deque } from "../handling/deque.ts";
import type { GroupProgress } from "../ports/transport.ts";
import { Message, type MessageHome } from "./message.ts";
import type { Partition } from "./partition.ts";
import type { MemoryReceiver } from "./receiver.ts";

/** What the books of a group say of one partition. */
interface Progress {
  readonly appended: number;
  readonly passed: number;
  readonly skipped: number;
  readonly repeated: number;
}

/** How far one group has come in one partition, and which of its receivers reads on. */
export class Cursor {
  readonly partition: Partition;
  /** Who reads it. Passes on only when nothing is in flight, so that the order holds across a takeover. */
  owner: MemoryReceiver | undefined = undefined;
  target: MemoryReceiver | undefined = undefined;
  readonly #home: MessageHome;
  /** All offsets below are done: the group's committed position. */
  #committed: number;
  #next: number;
  /** Done above the committed position. */
  readonly #finished = new Set<number>();
  readonly #returned: Message[] = [];
  readonly #replays = new Set<Message>();
  readonly #replayed = new Deque<Message>();
  #inFlight = 0;
  /** Where its book begins. */
  readonly #began: number;
  readonly #counts = { passed: 0, skipped: 0, repeated: 0 };

  constructor(partition: Partition, home: MessageHome, start: "earliest" | "latest") {
    this.partition = partition;
    this.#home = home;
    this.#committed = start === "latest" ? partition.end : partition.base;
    this.#next = this.#committed;
    this.#began = this.#committed;
  }

  /** What came since it began, and what became of it beside what is pending. */
  get progress(): Progress {
    this.#skipRemoved();
    const appended = this.partition.appended - this.#began;
    const { passed, skipped, repeated } = this.#counts;
    return { appended, passed, skipped, repeated };
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  /** Items that are not completed. */
  get pending(): number {
    this.#skipRemoved();
    return this.partition.end - this.#committed - this.#finished.size + this.#replays.size;
  }

  hasWorkFor(receiver: MemoryReceiver): boolean {
    const back = this.#returned[0] ?? this.#replayed.at(0);
    const next = back ?? this.partition.at(Math.max(this.#next, this.partition.base));
    return next !== undefined && receiver.fits(next.parcel.bytes);
  }

  /** Gives the receiver what it has room for. */
  serve(receiver: MemoryReceiver, monotonic: number): void {
    this.#skipRemoved();
    for (
      let next = this.#peek();
      next !== undefined && receiver.fits(next.parcel.bytes);
      next = this.#peek()
    ) {
      if (next === this.#returned[0]) this.#returned.shift();
      else if (next === this.#replayed.at(0)) this.#replayed.shift();
      else this.#next += 1;
      next.attempt += 1;
      next.state = "inFlight";
      this.#inFlight += 1;
      receiver.take(next, monotonic);
    }
  }

  reached(): GroupProgress {
    this.#skipRemoved();
    const { index: partition, base: oldest, end } = this.partition;
    const committed = this.#committed;
    return { partition, committed, end, lag: end - committed, oldest };
  }

  /** Goes on from another offset. Nothing but replays may be in flight. */
  seek(offset: number): void {
    this.#skipRemoved();
    const again = this.#committed + this.#finished.size - offset;
    if (again > 0) this.#counts.repeated += again;
    else this.#counts.skipped -= again;
    this.#committed = offset;
    this.#next = offset;
    this.#finished.clear();
    this.#returned.length = 0;
  }

  /** The message is done with, one way or the other. */
  finish(message: Message): void {
    this.#inFlight -= 1;
    message.state = "gone";
    if (this.#replays.delete(message)) return;
    const offset = message.position?.offset ?? -1;
    // Retention was faster: it was counted as skipped.
    if (offset < this.#committed) return;
    this.#counts.passed += 1;
    if (offset > this.#committed) return void this.#finished.add(offset);
    this.#committed += 1;
    while (this.#finished.size > 0 && this.#finished.delete(this.#committed)) this.#committed += 1;
  }

  putBack(message: Message): void {
    this.#inFlight -= 1;
    message.state = "ready";
    if (this.#replays.has(message)) return this.#replayed.push(message);
    const offset = message.position?.offset ?? 0;
    const place = this.#returned.findIndex((other) => (other.position?.offset ?? 0) > offset);
    this.#returned.splice(place < 0 ? this.#returned.length : place, 0, message);
  }

  /** Whether a message came by replay, beside the log. */
  isReplay(message: Message): boolean {
    return this.#replays.has(message);
  }

  /** Delivers a dead letter again, to this group only. */
  replay(message: Message): void {
    this.#replays.add(message);
    this.#replayed.push(message);
  }

  /** Items that are neither done nor in flight. */
  *waiting(inFlight: ReadonlySet<number>): Generator<Message, void, void> {
    this.#skipRemoved();
    yield* this.#replayed;
    for (let offset = this.#committed; offset < this.partition.end; offset++) {
      if (this.#finished.has(offset) || inFlight.has(offset)) continue;
      yield (
        this.#returned.find((message) => message.position?.offset === offset) ?? this.#read(offset)
      );
    }
  }

  /** When the oldest item that waits was taken in, milliseconds since 1970; Infinity when none waits. */
  oldestWaiting(): number {
    return this.#peek()?.parcel.enqueuedAt ?? Infinity;
  }

  #peek(): Message | undefined {
    const back = this.#returned[0] ?? this.#replayed.at(0);
    if (back !== undefined) return back;
    return this.#next < this.partition.end ? this.#read(this.#next) : undefined;
  }

  #read(offset: number): Message {
    const item = this.partition.at(offset);
    if (item === undefined)
      throw new RangeError(`offset ${offset} is not in partition ${this.partition.index}`);
    const message = new Message(item.seq, item.parcel, this.#home);
    message.position = { partition: this.partition.index, offset };
    return message;
  }

  /** What retention removed counts as done; what was delivered of it lives on in its delivery. */
  #skipRemoved(): void {
    const { base } = this.partition;
    if (base <= this.#committed) return;
    this.#counts.skipped += base - this.#committed;
    for (const offset of this.#finished)
      if (offset < base && this.#finished.delete(offset)) this.#counts.skipped -= 1;
    this.#committed = base;
    this.#next = Math.max(this.#next, base);
    while (this.#finished.size > 0 && this.#finished.delete(this.#committed)) this.#committed += 1;
  }
}
