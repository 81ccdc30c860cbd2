import {
  type Listener,
  type ReceiveOptions,
  type Receiver,
  type Settled,
  type Settlement,
  type Timer,
  WaybillError,
  addressOf,
} from "@waybill/core";
import { brokerError } from "../errors.ts";
import type { Link } from "../link.ts";
import type { Records } from "../records.ts";
import type { GroupName, Names } from "../topology.ts";
import { Budget } from "./budget.ts";
import { cursorAt, writeCursor } from "./cursor.ts";
import type { StreamDelivery, StreamSettler } from "./delivery.ts";
import { type Logs, missingStream } from "./logs.ts";
import { Membership, type View } from "./membership.ts";
import { PartitionReader } from "./reader.ts";
import { type StoreParts, assertSettles, store } from "./settling.ts";
import { shareOf } from "./share.ts";

export interface StreamReceiverParts extends StoreParts {
  readonly link: Link;
  readonly names: Names;
  readonly records: Records;
  readonly logs: Logs;
  readonly group: GroupName;
  readonly options: ReceiveOptions;
  readonly listener: Listener;
  /** The stream is not there any more: makes it again, where this process declared it. */
  readonly restore: () => Promise<void>;
  readonly onEnd: (receiver: StreamReceiver) => void;
}

const againMs = 500;

/** One member of a group: reads the partitions of its share, in order. */
export class StreamReceiver implements Receiver, StreamSettler {
  readonly #parts: StreamReceiverParts;
  readonly #address: string;
  readonly #budget: Budget;
  readonly #membership: Membership;
  readonly #readers = new Map<number, PartitionReader>();
  #partitions = 0;
  #paused = false;
  #isLooking = false;
  #looksAgain = false;
  #looking: Promise<void> = Promise.resolve();
  #turn = 0;
  #timer: Timer | undefined;
  #joining: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;
  #ended = false;

  constructor(parts: StreamReceiverParts) {
    const { group, options } = parts;
    this.#parts = parts;
    this.#address = addressOf({ kind: "stream", name: group.stream, group: group.group });
    this.#budget = new Budget(options);
    this.#membership = new Membership({
      ...parts,
      lockMs: options.lockMs,
      look: () => this.#look(),
      expired: () => this.#loseAll(),
      fault: (error) => this.#fault(error),
    });
    this.#joining = this.#join();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    for (const reader of this.#readers.values()) reader.kick();
  }

  stop(): Promise<void> {
    return (this.#stopping ??= this.#stop());
  }

  /** Gives everything back at once, the attempts of what was delivered counted. */
  async close(): Promise<void> {
    await this.stop();
    await Promise.all([...this.#readers.values()].map((reader) => reader.abandon()));
    await this.#end();
  }

  reconnected(): void {
    for (const reader of this.#readers.values()) reader.reconnected();
    this.#look();
  }

  async settle(delivery: StreamDelivery, settlement: Settlement): Promise<Settled> {
    assertSettles(this.#parts.group.stream, settlement);
    if (!this.#membership.isAlive) this.#loseAll();
    const reader = this.#readers.get(delivery.position.partition);
    if (reader?.has(delivery) !== true) return "lockLost";
    if (settlement.kind === "release") return reader.giveBack(delivery);
    await store(this.#parts, { address: this.#address, delivery, settlement, moved: reader.moved });
    return reader.finish(delivery);
  }

  async countRun(delivery: StreamDelivery): Promise<Settled> {
    if (!this.#membership.isAlive) this.#loseAll();
    return this.#readers.get(delivery.position.partition)?.countRun(delivery) ?? "lockLost";
  }

  async #join(): Promise<void> {
    const { logs, group, environment } = this.#parts;
    try {
      const partitions = await logs.partitions(group.stream);
      if (partitions === undefined) throw missingStream(group.stream);
      this.#partitions = partitions;
      if (this.#stopping !== undefined) return;
      await this.#membership.join();
      this.#look();
    } catch (error) {
      this.#fault(error);
      const isMissing = error instanceof WaybillError && error.code === "NOT_FOUND";
      if (isMissing) await this.#parts.restore().catch((cause: unknown) => this.#fault(cause));
      if (this.#stopping !== undefined) return;
      this.#timer = environment.timers.set(() => {
        this.#joining = this.#join();
      }, againMs);
    }
  }

  /** Looks at the group, and takes and gives what the share asks for. */
  #look(): void {
    this.#looksAgain = true;
    if (!this.#isLooking) this.#looking = this.#lookOn();
  }

  async #lookOn(): Promise<void> {
    this.#isLooking = true;
    while (this.#looksAgain && !this.#ended && this.#partitions > 0) {
      this.#looksAgain = false;
      try {
        const view = await this.#membership.view();
        this.#compare(view);
        if (this.#stopping === undefined) await this.#share(view);
      } catch (error) {
        this.#fault(error);
      }
    }
    this.#isLooking = false;
  }

  /** Something may have been moved, or put back to the group. */
  #compare({ cursors }: View): void {
    for (const [partition, reader] of this.#readers) {
      const stored = cursors.get(partition);
      if (stored === undefined || !reader.isStill(stored.cursor)) reader.touch();
      reader.lookAgain();
    }
  }

  async #share({ members, alive, cursors }: View): Promise<void> {
    if (cursors.size < this.#partitions) return this.#begin(cursors);
    const { id: member } = this.#membership;
    const owners = Array.from({ length: this.#partitions }, (_, partition) => {
      const owner = cursors.get(partition)?.cursor.owner;
      return owner !== undefined && alive.has(owner) ? owner : undefined;
    });
    const mine = [...this.#readers.values()].filter(({ isLeaving }) => !isLeaving);
    const { wanted, surplus } = shareOf({
      members,
      member,
      owners: owners.map((owner, partition) =>
        // It still reads to its end what it gives up.
        this.#readers.has(partition) ? member : owner,
      ),
      mine: mine.map(({ partition }) => partition),
    });
    for (const partition of surplus) this.#readers.get(partition)?.leave();
    for (const partition of wanted)
      if (!this.#readers.has(partition)) await this.#acquire(partition, cursors);
  }

  /** The group has no place yet in some partition. */
  async #begin(cursors: View["cursors"]): Promise<void> {
    const { records, names, logs, group, options } = this.#parts;
    const ranges = await logs.ranges(group.stream);
    for (const [partition, { oldest, end }] of ranges.entries()) {
      if (cursors.has(partition)) continue;
      const text = writeCursor(cursorAt(options.start === "latest" ? end : oldest));
      // Another member may be faster.
      await records.put(names.cursorSubject(group, partition), { text, expected: 0 });
    }
    this.#looksAgain = true;
  }

  async #acquire(partition: number, cursors: View["cursors"]): Promise<void> {
    const { records, names, group, options } = this.#parts;
    const known = cursors.get(partition);
    if (known === undefined) return;
    const cursor = { ...known.cursor, owner: this.#membership.id };
    const expected = known.revision;
    const subject = names.cursorSubject(group, partition);
    const revision = await records.put(subject, { text: writeCursor(cursor), expected });
    if (revision === undefined) {
      this.#looksAgain = true;
      return;
    }
    const reader = new PartitionReader(
      {
        ...this.#parts,
        partition,
        address: this.#address,
        member: this.#membership.id,
        budget: this.#budget,
        settler: this,
        itemsMax: options.prefetch,
        bytesMax: Math.ceil(options.prefetchBytes / this.#partitions),
        rests: () => this.#paused || this.#stopping !== undefined,
        deliver: (batch) => this.#parts.listener.deliver(batch),
        freed: () => this.#freed(),
        gone: (gone) => this.#gone(gone),
        fault: (error) => this.#fault(error),
      },
      cursor,
      revision,
    );
    this.#readers.set(partition, reader);
    if (this.#stopping !== undefined) reader.leave();
  }

  /** Another partition first each time, so that a busy one does not starve the others. */
  #freed(): void {
    const readers = [...this.#readers.values()];
    this.#turn += 1;
    for (const index of readers.keys()) readers[(this.#turn + index) % readers.length]?.soon();
  }

  #gone(reader: PartitionReader): void {
    if (this.#readers.get(reader.partition) === reader) this.#readers.delete(reader.partition);
    this.#membership.signal();
    if (this.#stopping !== undefined && this.#readers.size === 0) void this.#end();
    else this.#look();
  }

  #loseAll(): void {
    for (const reader of Array.from(this.#readers.values())) reader.lose();
  }

  async #stop(): Promise<void> {
    this.#timer?.cancel();
    // `#stopping` stands before anything is waited for.
    await Promise.resolve();
    await this.#joining;
    await this.#looking;
    for (const reader of this.#readers.values()) reader.leave();
    if (this.#readers.size === 0) await this.#end();
    else await this.#membership.leave().catch((error: unknown) => this.#fault(error));
  }

  async #end(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#membership.end().catch((error: unknown) => this.#fault(error));
    this.#parts.onEnd(this);
  }

  #fault(error: unknown): void {
    if (this.#ended || this.#stopping !== undefined) return;
    this.#parts.listener.fault(brokerError(`Receiving from "${this.#address}"`, error));
  }
}
