import { type Broker, findErrorBy } from "@platformatic/kafka";
import { type Environment, type Timer, sleep } from "@waybill/core";
import type { PartitionKey } from "./assignment.ts";
import { KafkaClient } from "./client.ts";
import { isAnswered, isExpelled, isMoved, isRegrouped } from "./codes.ts";
import { brokerError, isApi } from "./errors.ts";
import {
  type Assignment,
  type Joined,
  type Said,
  assignments,
  protocol,
  protocolType,
  readAssignment,
  writeClaim,
} from "./joining.ts";
import type { Settings } from "./options.ts";

export interface GroupTiming {
  /** Without a sign of life for so long a member is not of the group any more. */
  readonly sessionMs: number;
  /** So long all wait for a member that does not join again when others come or go. */
  readonly rebalanceMs: number;
  readonly beatMs: number;
}

export interface MembershipParts {
  readonly settings: Settings;
  readonly environment: Environment;
  /** For what must not wait behind a join, nor behind anything else. */
  readonly client: KafkaClient;
  readonly group: string;
  readonly topics: readonly string[];
  readonly timing: GroupTiming;
  /** The same after a restart; undefined for a member that comes and goes. */
  readonly member?: string | undefined;
}

/** Whose membership it is. */
export interface Member {
  /** What to say at the next joining. */
  said(): Omit<Said, "generation">;
  assigned(assignment: Assignment): void;
  /** Not of the group any more, or not heard of for as long as a session lasts: others may have everything. */
  lost(): void;
  fault(error: unknown): void;
}

/** Of the time for which the others wait at least. */
const leasedShare = 0.8;
const joinGraceMs = 10_000;
const [pauseMs, pauseMsMax] = [100, 1_000];
const leaveMsMax = 500;
/** How often it is looked whether there are more partitions than there were; and while a topic is not there, which a broker may only not have heard of. */
const [lookMs, lookSoonMs] = [30_000, 1_000];
const noGeneration = -1;

/**
 * A member of a consumer group, by the classic protocol of Kafka in its cooperative form: a partition that is to move stays until it is released.
 * Its signs of life run on the environment's timers, so that a process which stands still falls silent.
 */
export class Membership {
  readonly #parts: MembershipParts;
  readonly #member: Member;
  /** A join is answered when everybody has joined. */
  readonly #joining: KafkaClient;
  #coordinator: Broker | undefined;
  #memberId = "";
  #generation = noGeneration;
  /** When Kafka was last asked for what it then answered. */
  #heardAt = Number.NEGATIVE_INFINITY;
  /** When it last asked, and nobody was coming or going. */
  #quietAt = Number.NEGATIVE_INFINITY;
  #lookedAt = Number.NEGATIVE_INFINITY;
  #partitions = 0;
  #lacksTopics = false;
  #wanted = 1;
  #joined = 0;
  #ended = false;
  #watch: Timer | undefined;
  #wake: () => void = () => undefined;

  constructor(parts: MembershipParts, member: Member) {
    this.#parts = parts;
    this.#member = member;
    const { settings, environment, timing } = parts;
    const requestTimeoutMs = timing.rebalanceMs + joinGraceMs;
    this.#joining = new KafkaClient(settings, environment, { name: "member", requestTimeoutMs });
    void this.#run();
    this.#watchOver();
  }

  /** Whether no other member can have got anything of its own yet: a short while after its broker said that nobody comes or goes. */
  get isLeased(): boolean {
    const { sessionMs, rebalanceMs } = this.#parts.timing;
    const leaseMs = leasedShare * Math.min(sessionMs, rebalanceMs);
    return this.#generation !== noGeneration && this.#now() - this.#quietAt < leaseMs;
  }

  /** What it has to say has changed. */
  rejoin(): void {
    this.#wanted += 1;
    this.#wake();
  }

  /** Asks the group's broker whether it is of the group still. Only a clear no is a no, and a silence that was too long. */
  async confirm(): Promise<boolean> {
    // Asking would be a sign of life, with which a process that stalled kept what others are waiting for.
    if (this.#isSilent() || this.#generation === noGeneration) return false;
    try {
      await this.#beat();
    } catch (error) {
      if (isRegrouped(error)) this.rejoin();
      this.#wake();
      if (isExpelled(error)) return false;
    }
    // It may have been lost meanwhile.
    return this.#generation !== noGeneration;
  }

  /** Rejects when the group has changed, until it has joined again. */
  async commit(topics: readonly object[]): Promise<void> {
    const { group, member = null } = this.#parts;
    const by = [group, this.#generation, this.#memberId, member];
    await this.ask("OffsetCommit", ...by, topics).catch((error: unknown) => {
      // It is told by the next sign of life, which is due now.
      if (isExpelled(error) || isRegrouped(error)) this.#wake();
      throw error;
    });
  }

  /** Asks the broker that keeps the group; forgets which one that is when it is another. */
  ask<Answer>(name: string, ...args: readonly unknown[]): Promise<Answer> {
    return this.#ask(this.#parts.client, name, args);
  }

  /** Goes at once; a static member keeps its place for a restart. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#generation = noGeneration;
    this.#watch?.cancel();
    this.#wake();
    const { environment, member } = this.#parts;
    if (member === undefined && this.#memberId !== "")
      await Promise.race([this.#sayGoodbye(), sleep(environment.timers, leaveMsMax)]);
    await this.#joining.close().catch(() => undefined);
  }

  async #ask<Answer>(client: KafkaClient, name: string, args: readonly unknown[]): Promise<Answer> {
    try {
      this.#coordinator ??= await this.#parts.client.coordinator(this.#parts.group);
      return await client.ask<Answer>(this.#coordinator, name, ...args);
    } catch (error) {
      if (isMoved(error) || !isAnswered(error)) this.#coordinator = undefined;
      throw error;
    }
  }

  async #run(): Promise<void> {
    for (let failed = 0; !this.#ended;)
      try {
        while (this.#joined < this.#wanted && !this.#ended) {
          await this.#join();
          failed = 0;
        }
        if (!this.#ended) await this.#pause(this.#parts.timing.beatMs);
        if (this.#ended || this.#joined < this.#wanted) continue;
        await this.#beat();
        await this.#look();
      } catch (error) {
        if (!this.#ended && !this.#judge(error)) await this.#pause(this.#againMs(failed++));
      }
  }

  /** Whether to go on at once. */
  #judge(thrown: unknown): boolean {
    const named = findErrorBy(thrown as Error, "apiId", "MEMBER_ID_REQUIRED");
    if (named !== null) {
      this.#memberId = String(named["memberId"] ?? "");
      return true;
    }
    if (isExpelled(thrown)) {
      this.#memberId = "";
      this.#lose();
      if (!isApi(thrown, "FENCED_INSTANCE_ID")) return true;
    } else if (isRegrouped(thrown)) {
      this.#wanted = Math.max(this.#wanted, this.#joined + 1);
      return true;
    }
    if (!isMoved(thrown))
      this.#member.fault(brokerError(`Being of the group "${this.#parts.group}"`, thrown));
    return false;
  }

  async #join(): Promise<void> {
    const { group, timing, topics, member = null } = this.#parts;
    const wanted = this.#wanted;
    const metadata = writeClaim({ ...this.#member.said(), generation: this.#generation }, topics);
    const joined = await this.#ask<Joined>(this.#joining, "JoinGroup", [
      group,
      timing.sessionMs,
      timing.rebalanceMs,
      this.#memberId,
      member,
      protocolType,
      [{ name: protocol, metadata }],
      "",
    ]);
    const { memberId, generationId, leader, protocolName } = joined;
    this.#memberId = memberId;
    const partitions = await this.#allPartitions();
    const shares = leader === memberId ? assignments(joined, partitions) : [];
    const saidAt = this.#now();
    const said = [group, generationId, memberId, member, protocolType, protocolName, shares];
    type Synced = { readonly assignment: Buffer };
    const { assignment } = await this.#ask<Synced>(this.#joining, "SyncGroup", said);
    if (this.#ended) return;
    this.#generation = generationId;
    this.#joined = wanted;
    this.#partitions = partitions.length;
    [this.#heardAt, this.#quietAt, this.#lookedAt] = [this.#now(), saidAt, saidAt];
    this.#member.assigned(readAssignment(assignment));
  }

  async #allPartitions(isInDoubt = false): Promise<readonly PartitionKey[]> {
    const keys: PartitionKey[] = [];
    this.#lacksTopics = false;
    for (const name of this.#parts.topics) {
      const topic = await this.#joining.topic(name, isInDoubt);
      this.#lacksTopics ||= topic === undefined;
      keys.push(...(topic?.leaders ?? []).map((_, partition) => `${name}:${partition}`));
    }
    return keys;
  }

  async #beat(): Promise<void> {
    const { group, member = null } = this.#parts;
    const saidAt = this.#now();
    const generation = this.#generation;
    await this.ask("Heartbeat", group, generation, this.#memberId, member);
    this.#heardAt = Math.max(this.#heardAt, saidAt);
    if (generation === this.#generation) this.#quietAt = Math.max(this.#quietAt, saidAt);
  }

  /** Partitions that somebody added are read by nobody until the group has joined again. */
  async #look(): Promise<void> {
    if (this.#now() - this.#lookedAt < (this.#lacksTopics ? lookSoonMs : lookMs)) return;
    this.#lookedAt = this.#now();
    const found = await this.#allPartitions(true);
    if (found.length > this.#partitions) this.rejoin();
  }

  #lose(): void {
    this.#quietAt = Number.NEGATIVE_INFINITY;
    this.#generation = noGeneration;
    this.#wanted += 1;
    this.#member.lost();
  }

  #watchOver(): void {
    const { environment, timing } = this.#parts;
    this.#watch = environment.timers.set(() => {
      if (this.#isSilent() && this.#generation !== noGeneration) this.#lose();
      this.#watchOver();
    }, timing.sessionMs / 4);
  }

  #isSilent(): boolean {
    const { sessionMs, rebalanceMs } = this.#parts.timing;
    // Who waits for the others to join says nothing meanwhile.
    const graceMs = this.#joined < this.#wanted ? rebalanceMs : 0;
    return this.#now() - this.#heardAt > sessionMs + graceMs;
  }

  async #sayGoodbye(): Promise<void> {
    const members = [{ memberId: this.#memberId, groupInstanceId: null, reason: "" }];
    await this.ask("LeaveGroup", this.#parts.group, members).catch(() => undefined);
  }

  #againMs(failed: number): number {
    const jitter = 0.5 + this.#parts.environment.random();
    return Math.min(pauseMs * 2 ** failed, pauseMsMax) * jitter;
  }

  /** Until so long has passed or somebody wakes it. */
  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#parts.environment.timers.set(resolve, ms);
      this.#wake = () => {
        timer.cancel();
        resolve();
      };
    });
  }

  #now(): number {
    return this.#parts.environment.clock.monotonic();
  }
}
