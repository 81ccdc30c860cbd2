import {
  type Receiver,
  type Settled,
  type Settlement,
  type WaybillError,
  sleep,
} from "@waybill/core";
import type { AmqpDelivery } from "../delivery.ts";
import { Commits } from "./commits.ts";
import { type ItemSettler, ReplayedDelivery, type StreamDelivery } from "./delivery.ts";
import { Fetching } from "./fetching.ts";
import type { GroupLog } from "./group-log.ts";
import { type Group, membersOf } from "./groups.ts";
import { StreamHand } from "./hand.ts";
import { SignOfLife, Watch } from "./membership.ts";
import { PartitionReader } from "./reader.ts";
import type { StreamReceiverParts } from "./receiver-parts.ts";

/** Items that come ahead of being handed over, of each partition and of the replays. */
const aheadMax = 64;
const againMs = 500;
const farewellMs = 500;

/**
 * One member of a group. What it is to read follows from the group's log: it claims what is assigned to it and nobody holds, reads from there, writes down
 * how far it has come, and lets go of what the log gives to somebody else, once it holds nothing of it any more.
 */
export class StreamReceiver implements Receiver, ItemSettler {
  readonly #parts: StreamReceiverParts;
  readonly #self: string;
  readonly #fetching = new Map<PartitionReader, Fetching>();
  readonly #hand: StreamHand;
  #replays: Receiver | undefined;
  readonly #readers = new Map<number, PartitionReader>();
  /** Entries that are under way, so that none is written twice. */
  readonly #asked = new Set<string>();
  #log: GroupLog | undefined;
  #commits: Commits | undefined;
  #watch: Watch | undefined;
  #life: SignOfLife | undefined;
  #unwatch: (() => unknown) | undefined;
  #paused = false;
  #stopped = false;
  #ended = false;
  readonly #whenEnded = Promise.withResolvers<void>();

  constructor(parts: StreamReceiverParts) {
    this.#parts = parts;
    const { environment, options, listener } = parts;
    this.#self = environment.id();
    this.#hand = new StreamHand({
      environment,
      options,
      listener,
      settler: this,
      readers: () => this.#readers.values(),
      rests: () => this.#paused || this.#stopped,
    });
    void this.#begin();
  }

  pause(): void {
    this.#paused = true;
    this.#replays?.pause();
  }

  resume(): void {
    this.#paused = false;
    this.#replays?.resume();
    this.#hand.handOverSoon();
  }

  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    // What was not handed over goes back with its channel; what is held keeps it.
    for (const delivery of this.#hand.takeReplays()) void delivery.settle({ kind: "release" });
    await this.#replays?.stop();
    this.#reconcile();
    this.#endWhenIdle();
  }

  /** Gives up what is held: its attempt counts. Who holds nothing takes its leave, so that nothing counts. */
  async close(): Promise<void> {
    const { group, environment } = this.#parts;
    this.#stopped = true;
    const late = sleep(environment.timers, farewellMs);
    if (this.#hand.isEmpty) {
      this.#reconcile();
      this.#endWhenIdle();
      await Promise.race([this.#whenEnded.promise, late]);
    }
    const wasEnded = this.#ended;
    this.#ended = true;
    for (const reader of this.#readers.values()) this.#lose(reader);
    const gone = { kind: "gone", group, member: this.#self } as const;
    if (!wasEnded) await Promise.race([this.#log?.append(gone).catch(() => undefined), late]);
    await this.#endParts();
  }

  async settle(delivery: StreamDelivery, settlement: Settlement): Promise<Settled> {
    const reader = this.#readers.get(delivery.position.partition);
    if (reader === undefined || !reader.holds(delivery)) return "lockLost";
    if (settlement.kind === "release") {
      reader.giveBack(delivery);
      this.#letGo(delivery);
      return "settled";
    }
    await this.#parts.move(delivery, settlement);
    if (reader.isLost || !reader.holds(delivery)) return "lockLost";
    const hasGrown = reader.finish(delivery);
    // It keeps its place until the log has answered: somebody else may have its partition, and what followed it would be theirs, too.
    const settled =
      hasGrown && this.#commits !== undefined ? await this.#commits.commit(reader) : "settled";
    this.#letGo(delivery);
    return settled;
  }

  get #group(): Group | undefined {
    return this.#log?.groups.get(this.#parts.group);
  }

  async #begin(): Promise<void> {
    const { prepare, start, group, environment, listener, link, memberQueue } = this.#parts;
    try {
      const log = await prepare();
      await log.sync();
      if (log.groups.get(group) === undefined)
        await log.append({ kind: "begin", group, committed: await start() });
      if (this.#stopped) return this.#end();
      this.#log = log;
      this.#replays = this.#receiveReplays();
      this.#commits = new Commits({ environment, log, group });
      this.#unwatch = log.watch(() => this.#reconcile());
      this.#life = new SignOfLife({
        queue: memberQueue(this.#self),
        link,
        environment,
        begun: () => void this.#join(),
        fault: (error) => listener.fault(error),
      });
    } catch (error) {
      if (this.#stopped) return this.#end();
      listener.fault(error as WaybillError);
      environment.timers.set(() => void this.#begin(), againMs);
    }
  }

  async #join(): Promise<void> {
    const { environment, isAlive, group } = this.#parts;
    this.#reconcile();
    if (this.#watch !== undefined) return;
    this.#watch = new Watch({
      environment,
      self: this.#self,
      members: () => membersOf(this.#group),
      isAlive,
      gone: async (member) => {
        await this.#log?.append({ kind: "gone", group, member });
      },
    });
    await this.#watch.start();
  }

  /** Brings what we do into line with the log. */
  #reconcile(): void {
    const group = this.#group;
    if (group === undefined || this.#ended) return;
    const { group: name } = this.#parts;
    const member = this.#self;
    if (!this.#stopped && this.#life?.isUp === true && !group.members.includes(member))
      this.#ask("join", () => this.#log?.append({ kind: "join", group: name, member }));
    if (this.#stopped && group.members.includes(member))
      this.#ask("quit", () => this.#log?.append({ kind: "quit", group: name, member }));
    for (const [partition, place] of group.places.entries()) {
      const reader = this.#readers.get(partition);
      const isOurs = place.holder === member;
      if (reader !== undefined && (!isOurs || place.epoch !== reader.epoch)) this.#lose(reader);
      if (isOurs && !this.#readers.has(partition)) this.#read(partition, place);
      if (!this.#stopped && place.assigned === member && place.holder === undefined)
        this.#ask(`claim ${partition}`, () =>
          this.#log?.append({ kind: "claim", group: name, member, partition }),
        );
    }
    for (const reader of this.#readers.values()) {
      const { assigned } = group.places[reader.partition] ?? {};
      reader.isLeaving = this.#stopped || assigned !== member;
      this.#freeWhenIdle(reader);
    }
    this.#hand.handOverSoon();
    this.#endWhenIdle();
  }

  /** Once at a time; what cannot be written is tried again. */
  #ask(what: string, write: () => Promise<void> | undefined): void {
    if (this.#asked.has(what)) return;
    this.#asked.add(what);
    const again = (): void => {
      this.#asked.delete(what);
      this.#reconcile();
    };
    write()?.then(again, () => {
      this.#parts.environment.timers.set(again, againMs);
    });
  }

  #read(partition: number, { epoch, committed, runs }: Group["places"][number]): void {
    const reader = new PartitionReader({ partition, epoch, committed, runs });
    this.#readers.set(partition, reader);
    const { link, environment, options, listener, queueOf } = this.#parts;
    const fetching = new Fetching(reader, {
      link,
      environment,
      queue: queueOf(partition),
      ahead: Math.min(options.prefetch, aheadMax),
      arrived: () => {
        if (reader.hasSkipped) void this.#commits?.commit(reader);
        this.#hand.handOverSoon();
      },
      fault: (error) => listener.fault(error),
    });
    this.#fetching.set(reader, fetching);
  }

  #lose(reader: PartitionReader): void {
    this.#readers.delete(reader.partition);
    this.#endFetching(reader);
    for (const delivery of reader.lose()) {
      this.#letGo(delivery);
      delivery.lose();
    }
  }

  #endFetching(reader: PartitionReader): void {
    void this.#fetching.get(reader)?.close();
    this.#fetching.delete(reader);
  }

  #freeWhenIdle(reader: PartitionReader): void {
    if (!reader.isLeaving || !reader.isIdle || this.#log === undefined) return;
    const { group } = this.#parts;
    const { partition, epoch } = reader;
    this.#ask(`free ${partition} ${epoch}`, async () => {
      if (reader.isDirty) await this.#commits?.commit(reader);
      // Assigned to us again meanwhile.
      if (!reader.isLeaving) return;
      this.#endFetching(reader);
      await this.#log?.append({ kind: "free", group, partition, epoch });
    });
  }

  #receiveReplays(): Receiver {
    const { replays, options, listener } = this.#parts;
    const receiver = replays(
      {
        deliver: (batch) => this.#takeReplays(batch as readonly AmqpDelivery[]),
        fault: (error) => listener.fault(error),
      },
      { ...options, prefetch: Math.min(options.prefetch, aheadMax) },
    );
    if (this.#paused) receiver.pause();
    return receiver;
  }

  #takeReplays(batch: readonly AmqpDelivery[]): void {
    this.#hand.addReplays(
      batch.map((inner) => {
        const delivery: ReplayedDelivery = new ReplayedDelivery(inner, () => this.#letGo(delivery));
        return delivery;
      }),
    );
  }

  #letGo(delivery: StreamDelivery | ReplayedDelivery): void {
    if (!this.#hand.letGo(delivery)) return;
    for (const reader of this.#readers.values()) this.#freeWhenIdle(reader);
    this.#endWhenIdle();
  }

  #endWhenIdle(): void {
    if (!this.#stopped || this.#ended || this.#readers.size > 0 || !this.#hand.isEmpty) return;
    if (membersOf(this.#group).includes(this.#self)) return;
    if (this.#log !== undefined) this.#end();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#whenEnded.resolve();
    void this.#endParts();
  }

  async #endParts(): Promise<void> {
    this.#unwatch?.();
    this.#watch?.close();
    const fetching = [...this.#fetching.values()].map((each) => each.close());
    await Promise.all([...fetching, this.#life?.close(), this.#replays?.stop()]);
    this.#parts.onEnd(this);
  }
}
