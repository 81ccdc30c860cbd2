import {
  type Environment,
  type GroupState,
  type RetainedRange,
  type SeekTarget,
  WaybillError,
  seekOffsets,
  sleep,
} from "@waybill/core";
import { keyOf, partitionOf } from "../assignment.ts";
import type { KafkaClient } from "../client.ts";
import { brokerError } from "../errors.ts";
import type { SeekRequest } from "../joining.ts";
import { Membership } from "../membership.ts";
import { commitTopics, listOffsets } from "../offsets.ts";
import { type Settings, streamTimingOf } from "../options.ts";
import { beginning, writeProgress } from "../progress.ts";
import type { Names } from "../topology.ts";
import { type Groups, groupState, type PartitionEnds, unknownGroup } from "./groups.ts";

export interface SeekParts {
  readonly client: KafkaClient;
  readonly names: Names;
  readonly groups: Groups;
  readonly environment: Environment;
  readonly settings: Settings;
}

export interface SeekOrder {
  readonly stream: string;
  readonly group: string;
  readonly to: SeekTarget;
}

const pollMs = 20;
const patienceMs = 30_000;

/**
 * Puts a group to another place. Who asks joins the group for a moment: so everybody else has to join again, and hears of it from the group's
 * leader. Who has a partition of it fences what it holds, and commits the new place before it reads on; where nobody has it, who asks commits.
 */
export async function seek(parts: SeekParts, order: SeekOrder): Promise<GroupState> {
  const { groups } = parts;
  const { stream, group, to } = order;
  const ends = await groups.ends(stream);
  const cursors = await groups.cursors(stream, group, ends.length);
  if (cursors.size === 0) throw unknownGroup(stream, group);
  const offsets = [...seekOffsets(to, await rangesOf(parts, stream, { ends, to }))];
  if (offsets.length > 0) {
    const number = 1 + Math.max(...[...cursors.values()].map((cursor) => cursor.seek));
    const topic = parts.names.streamTopic(stream);
    const byKey = offsets.map(
      ([partition, offset]) => [keyOf({ topic, partition }), offset] as const,
    );
    await new Seeking(parts, order, { number, offsets: byKey }).run(ends);
  }
  return groupState(group, ends, await groups.cursors(stream, group, ends.length));
}

async function rangesOf(
  { client, names }: SeekParts,
  stream: string,
  { ends, to }: { readonly ends: readonly PartitionEnds[]; readonly to: SeekTarget },
): Promise<readonly RetainedRange[]> {
  const isMoment = typeof to === "object" && to !== null && "at" in to && Number.isFinite(to.at);
  const partitions = ends.map(({ partition }) => partition);
  // Negative moments mean other things to Kafka.
  const at = isMoment ? BigInt(Math.max(0, Math.ceil(to.at))) : 0n;
  const found = isMoment
    ? await listOffsets(client, names.streamTopic(stream), { at, partitions })
    : new Map<number, number>();
  return ends.map(({ partition, oldest, end }) => {
    const offset = found.get(partition) ?? -1;
    return { partition, oldest, end, offsetAt: () => (offset < 0 ? end : offset) };
  });
}

class Seeking {
  readonly #parts: SeekParts;
  readonly #order: SeekOrder;
  readonly #request: SeekRequest;
  readonly #membership: Membership;
  #orphans: readonly string[] = [];
  #failed: WaybillError | undefined;

  constructor(parts: SeekParts, order: SeekOrder, request: SeekRequest) {
    const { stream: name, group } = order;
    this.#parts = parts;
    this.#order = order;
    this.#request = request;
    const place = parts.names.groupPlace({ kind: "stream", name, group });
    const timing = streamTimingOf(parts.settings, 0);
    this.#membership = new Membership(
      { ...parts, ...place, timing },
      {
        said: () => ({ owned: [], leaving: true, seek: request }),
        assigned: ({ orphans }) => (this.#orphans = orphans),
        lost: () => undefined,
        fault: (error) => (this.#failed = brokerError("Seeking", error)),
      },
    );
  }

  async run(ends: readonly PartitionEnds[]): Promise<void> {
    const { environment, groups } = this.#parts;
    const { stream, group } = this.#order;
    const giveUpAt = environment.clock.monotonic() + patienceMs;
    try {
      for (;;) {
        await this.#commitOrphans();
        const cursors = await groups.cursors(stream, group, ends.length);
        const { number, offsets } = this.#request;
        const seekOf = (key: string): number => cursors.get(partitionOf(key).partition)?.seek ?? 0;
        if (offsets.every(([key]) => seekOf(key) >= number)) return;
        if (environment.clock.monotonic() >= giveUpAt) throw this.#failed ?? unheard(this.#order);
        await sleep(environment.timers, pollMs);
      }
    } finally {
      await this.#membership.close();
    }
  }

  /** Where nobody reads. */
  async #commitOrphans(): Promise<void> {
    const { number, offsets } = this.#request;
    const mine = offsets.filter(([key]) => this.#orphans.includes(key));
    if (mine.length === 0) return;
    const metadata = writeProgress(beginning(0, number));
    const commits = mine.map(([key, offset]) => ({ key, offset, metadata }));
    try {
      await this.#membership.commit(commitTopics(commits));
    } catch (error) {
      // The group changed meanwhile, or the line broke: the next round tells.
      this.#failed = brokerError("Seeking", error);
    }
  }
}

function unheard({ stream, group }: SeekOrder): WaybillError {
  return new WaybillError(
    "TRANSPORT_FAILED",
    `Not every reader of "${stream}@${group}" has followed the seek within ${patienceMs} ms. Look whether one of them stands still, and seek again.`,
    { retryable: true },
  );
}
