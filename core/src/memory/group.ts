import { WaybillError } from "../errors.ts";
import { type LedgerEntry, type LeftBy, ledgerEntry, nothingStands } from "../ports/ledger.ts";
import {
  type AddressSettings,
  type AddressState,
  type GroupState,
  type MessageState,
  type SeekTarget,
  type Settlement,
  addressOf,
} from "../ports/transport.ts";
import { seekOffsets } from "../operating/seek.ts";
import { Aside } from "./aside.ts";
import { Book } from "./book.ts";
import { Cursor } from "./cursor.ts";
import type { Kernel } from "./kernel.ts";
import { Message, type MessageHome, type Parcel, timeless } from "./message.ts";
import type { Partition } from "./partition.ts";
import type { MemoryReceiver, Supply } from "./receiver.ts";
import { Receivers } from "./receivers.ts";
import { share } from "./sharing.ts";

/** What a group needs of its stream. */
export interface GroupLog {
  readonly name: string;
  readonly partitions: readonly Partition[];
  /** Removes what retention lets go. */
  trim(): void;
}

/** A group of receivers that read one stream together: each partition belongs to one of them at a time. */
export class Group implements Supply, MessageHome {
  readonly address: string;
  readonly kind = "stream";
  readonly aside: Aside = new Aside();
  readonly receivers: Receivers = new Receivers();
  readonly #name: string;
  readonly #kernel: Kernel;
  readonly #log: GroupLog;
  readonly #cursors: readonly Cursor[];
  /** Of what was set aside; what the log gives stands with the cursors. */
  readonly #book = new Book();
  #members: MemoryReceiver[] = [];
  #turn = 0;

  constructor(
    log: GroupLog,
    name: string,
    parts: { readonly kernel: Kernel; readonly start: "earliest" | "latest" },
  ) {
    this.address = addressOf({ kind: "stream", name: log.name, group: name });
    this.#name = name;
    this.#kernel = parts.kernel;
    this.#log = log;
    this.#cursors = log.partitions.map((partition) => new Cursor(partition, this, parts.start));
  }

  onAppend(partition: number): void {
    this.#cursors[partition]?.owner?.wake();
  }

  attach(receiver: MemoryReceiver): void {
    this.receivers.attach(receiver);
    if (!this.#members.includes(receiver)) this.#members = [...this.#members, receiver];
    this.#assign();
  }

  detach(receiver: MemoryReceiver): void {
    this.receivers.detach(receiver);
    this.#members = this.#members.filter((member) => member !== receiver);
    this.#assign();
  }

  hasWorkFor(receiver: MemoryReceiver): boolean {
    return this.#cursors.some((cursor) => mayRead(cursor, receiver) && cursor.hasWorkFor(receiver));
  }

  serve(receiver: MemoryReceiver): void {
    this.#log.trim();
    const monotonic = this.#kernel.monotonic();
    this.#turn += 1;
    for (let index = 0; index < this.#cursors.length; index++) {
      // Another partition first each time, so that a busy one does not starve the others.
      const cursor = this.#cursors[(this.#turn + index) % this.#cursors.length] as Cursor;
      if (mayRead(cursor, receiver)) cursor.serve(receiver, monotonic);
    }
  }

  check(settlement: Settlement): void {
    if (settlement.kind !== "retry" && settlement.kind !== "defer") return;
    throw new WaybillError(
      "NOT_SUPPORTED",
      `An item of a stream cannot be settled with "${settlement.kind}", because the items behind it would overtake it. ` +
        "Wait in the handler and try again there, or settle it as a dead letter.",
      { details: { address: this.address } },
    );
  }

  settle(message: Message, settlement: Settlement): void {
    const cursor = this.#cursorOf(message);
    if (settlement.kind === "release") {
      message.attempt -= 1;
      cursor.putBack(message);
    } else {
      const charged = cursor.isReplay(message);
      cursor.finish(message);
      if (settlement.kind === "deadLetter") {
        const dead = charged ? message : this.#copy(message);
        dead.failure = settlement.failure;
        this.aside.add(dead, "dead");
      } else if (charged) {
        this.#kernel.free(message.parcel.bytes);
        this.#book.count("", "completed");
      }
    }
    this.#pass(cursor);
  }

  /** What is set aside for the first time stays in the log: after a seek it may be set aside once more, beside this one. */
  #copy(item: Message): Message {
    const copy = new Message(this.#kernel.nextSequence(), item.parcel, this);
    copy.position = item.position;
    copy.attempt = item.attempt;
    this.#kernel.charge(item.parcel.bytes);
    this.#book.count("", "copied");
    return copy;
  }

  giveBack(message: Message): void {
    const cursor = this.#cursorOf(message);
    cursor.putBack(message);
    this.#pass(cursor);
  }

  replay(message: Message): void {
    // Under its old number, by which it can be followed.
    this.#replay(message, new Message(message.seq, timeless(message.parcel), this));
  }

  /** Puts another in the place of one that was set aside. */
  replace(message: Message, parcel: Parcel): void {
    this.#kernel.free(message.parcel.bytes);
    this.#kernel.charge(parcel.bytes);
    this.#book.count("", "replaced");
    this.#book.count("", "accepted");
    this.#replay(message, new Message(this.#kernel.nextSequence(), parcel, this));
  }

  #replay(message: Message, again: Message): void {
    this.aside.remove(message);
    again.position = message.position;
    if (again.seq === message.seq) again.failure = message.failure;
    const cursor = this.#cursorOf(message);
    cursor.replay(again);
    cursor.owner?.wake();
  }

  discard(message: Message, by: LeftBy): void {
    this.#book.count("", by);
    this.aside.remove(message);
    this.#kernel.free(message.parcel.bytes);
  }

  progress(): GroupState {
    this.#log.trim();
    return { group: this.#name, partitions: this.#cursors.map((cursor) => cursor.reached()) };
  }

  /** Goes on from other offsets, by partition. Throws OPTION_INVALID. */
  seek(to: SeekTarget): GroupState {
    this.#log.trim();
    const offsets = seekOffsets(
      to,
      this.#log.partitions.map((partition) => partition.range()),
    );
    this.receivers.fence(
      (message) =>
        offsets.has(message.position?.partition ?? -1) &&
        !this.#cursorOf(message).isReplay(message),
    );
    for (const [partition, offset] of offsets) {
      const cursor = this.#cursors[partition] as Cursor;
      cursor.seek(offset);
      this.#pass(cursor);
    }
    return this.progress();
  }

  onDue(): void {
    // Items of a stream have no alarms: neither delay nor expiry.
  }

  *messages(state: MessageState): Generator<Message, void, void> {
    if (state === "dead") yield* this.aside;
    if (state === "inFlight") yield* this.receivers.held();
    if (state !== "ready") return;
    this.#log.trim();
    const held = [...this.receivers.held()];
    for (const cursor of this.#cursors) {
      const offsets = held.filter(
        (message) => message.position?.partition === cursor.partition.index,
      );
      yield* cursor.waiting(new Set(offsets.map((message) => message.position?.offset ?? -1)));
    }
  }

  set(): Omit<AddressSettings, "address" | "kind"> {
    const { paused } = this.receivers;
    return { paused, forwardsTo: undefined, deadLettersTo: undefined, temporary: false };
  }

  state(): AddressState {
    this.#log.trim();
    return {
      address: this.address,
      kind: this.kind,
      ready: this.#total((cursor) => cursor.pending),
      inFlight: this.#total((cursor) => cursor.inFlight),
      scheduled: 0,
      deferred: 0,
      dead: this.aside.dead,
      oldestReadyMs: this.#oldestMs(),
      receivers: this.receivers.count,
      ...this.set(),
    };
  }

  ledger(): LedgerEntry {
    const { ready: pending, dead } = this.state();
    const inFlight = this.#total((cursor) => cursor.inFlight);
    const lines = this.#book.lines().get("") ?? {};
    const { accepted = 0, completed = 0 } = lines;
    const book = {
      ...lines,
      accepted: accepted + this.#total(({ progress }) => progress.appended),
      completed: completed + this.#total(({ progress }) => progress.passed),
      skipped: this.#total(({ progress }) => progress.skipped),
      repeated: this.#total(({ progress }) => progress.repeated),
    };
    // What is in flight is pending too, unless retention has removed it since.
    const held = Math.min(inFlight, pending);
    return ledgerEntry({
      address: this.address,
      kind: "stream",
      book: new Map([["", book]]),
      standing: { ...nothingStands, ready: pending - held, inFlight: held, dead },
      oldestWaitingMs: this.#oldestMs(),
    });
  }

  #total(count: (cursor: Cursor) => number): number {
    return this.#cursors.reduce((sum, cursor) => sum + count(cursor), 0);
  }

  #oldestMs(): number {
    let oldest = Infinity;
    for (const cursor of this.#cursors) oldest = Math.min(oldest, cursor.oldestWaiting());
    return oldest === Infinity ? 0 : Math.max(0, this.#kernel.now() - oldest);
  }

  #assign(): void {
    share(this.#cursors, this.#members);
    for (const cursor of this.#cursors) this.#pass(cursor);
  }

  /** Lets the next owner begin as soon as the one before has nothing left in its hands. */
  #pass(cursor: Cursor): void {
    if (cursor.owner !== cursor.target && cursor.inFlight === 0) cursor.owner = cursor.target;
    if (cursor.owner !== undefined && cursor.hasWorkFor(cursor.owner)) cursor.owner.wake();
  }

  #cursorOf(message: Message): Cursor {
    return this.#cursors[message.position?.partition ?? 0] as Cursor;
  }
}

function mayRead(cursor: Cursor, receiver: MemoryReceiver): boolean {
  return cursor.owner === receiver && cursor.target === receiver;
}
