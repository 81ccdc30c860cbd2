import {
  type GroupState,
  type Listener,
  type ReceiveOptions,
  type Receiver,
  type SeekTarget,
  type Settlement,
  type Source,
  type StreamSpec,
  type TransportHost,
  WaybillError,
  addressOf,
  seekOffsets,
} from "@waybill/core";
import type { Channel } from "amqplib";
import type { Link } from "../link.ts";
import type { Parcel } from "../publisher.ts";
import type { Names } from "../topology.ts";
import { declareGroup, declareStream, partitionsOf } from "./declare.ts";
import type { StreamDelivery } from "./delivery.ts";
import { GroupLog } from "./group-log.ts";
import type { Group } from "./groups.ts";
import { type Range, type RangeParts, offsetAt, rangesOf } from "./range.ts";
import { StreamReceiver } from "./receiver.ts";

export interface StreamsParts {
  readonly names: Names;
  readonly link: Link;
  readonly host: TransportHost;
  /** Does something on a channel of its own. */
  readonly channel: <Result>(work: (channel: Channel) => Promise<Result>) => Promise<Result>;
  readonly exists: (queue: string) => Promise<boolean>;
  readonly send: (parcel: Parcel) => Promise<void>;
  /** What a settlement puts elsewhere. */
  readonly move: (delivery: StreamDelivery, settlement: Settlement, queue: string) => Promise<void>;
  readonly replays: (
    place: { readonly queue: string; readonly address: string },
    listener: Listener,
    options: ReceiveOptions,
  ) => Receiver;
}

type StreamSource = Extract<Source, { kind: "stream" }>;

/** Streams over RabbitMQ's own, and groups over a log of theirs. */
export class Streams {
  readonly #parts: StreamsParts;
  readonly #partitions = new Map<string, number>();
  readonly #logs = new Map<string, GroupLog>();
  readonly #receivers = new Set<StreamReceiver>();

  constructor(parts: StreamsParts) {
    this.#parts = parts;
  }

  async declare(spec: StreamSpec): Promise<void> {
    const { names, host, channel } = this.#parts;
    await declareStream({ names, logger: host.logger, channel }, spec);
    this.#partitions.set(spec.name, spec.partitions);
  }

  /** Undefined when there is no such stream. */
  async partitions(stream: string): Promise<number | undefined> {
    const known = this.#partitions.get(stream);
    if (known !== undefined) return known;
    const found = await partitionsOf(this.#parts.names, stream, this.#parts.exists);
    if (found !== undefined) this.#partitions.set(stream, found);
    return found;
  }

  /** As `partitions`, where it is known without asking. */
  knownPartitions(stream: string): number | undefined {
    return this.#partitions.get(stream);
  }

  receive(source: StreamSource, options: ReceiveOptions, listener: Listener): Receiver {
    const { names, link, host, channel, exists, move, replays } = this.#parts;
    const { name: stream, group } = source;
    const queue = names.group(stream, group);
    const address = addressOf(source);
    const receiver = new StreamReceiver({
      stream,
      group,
      address,
      options,
      listener,
      link,
      environment: host.environment,
      prepare: async () => {
        await this.#known(stream);
        await channel((open) => declareGroup(open, queue, names.dead(queue)));
        return this.#log(stream);
      },
      start: async () => {
        if (options.start !== "latest")
          return Array.from<number>({ length: await this.#known(stream) }).fill(0);
        return (await this.#ranges(stream)).map(({ end }) => end);
      },
      queueOf: (partition) => names.partition(stream, partition),
      memberQueue: (member) => names.member(member),
      isAlive: (member) => exists(names.member(member)),
      move: (delivery, settlement) => move(delivery, settlement, queue),
      replays: (taker, more) => replays({ queue, address }, taker, more),
      onEnd: (ended) => this.#receivers.delete(ended),
    });
    this.#receivers.add(receiver);
    return receiver;
  }

  async groups(stream: string): Promise<readonly GroupState[]> {
    await this.#known(stream);
    const log = this.#log(stream);
    await log.sync();
    if (log.groups.all.size === 0) return [];
    const ranges = await this.#ranges(stream);
    return [...log.groups.all].map(([name, group]) => stateOf(name, group, ranges));
  }

  async groupNames(stream: string): Promise<readonly string[]> {
    await this.#known(stream);
    const log = this.#log(stream);
    await log.sync();
    return [...log.groups.all.keys()];
  }

  /** How many members the group has. */
  receiversOf(stream: string, group: string): number {
    return this.#logs.get(stream)?.groups.get(group)?.members.length ?? 0;
  }

  async seek(stream: string, name: string, to: SeekTarget): Promise<GroupState> {
    await this.#known(stream);
    const log = this.#log(stream);
    await log.sync();
    if (log.groups.get(name) === undefined)
      throw new WaybillError("NOT_FOUND", `The stream "${stream}" has no group "${name}".`);
    const ranges = await this.#ranges(stream);
    const moments = await this.#moments(stream, to, ranges);
    const offsets = seekOffsets(
      to,
      ranges.map((range, partition) => ({
        ...range,
        partition,
        offsetAt: () => moments[partition] ?? range.end,
      })),
    );
    const { environment } = this.#parts.host;
    await log.append({ kind: "seek", group: name, id: environment.id(), to: [...offsets] });
    const group = log.groups.get(name);
    if (group === undefined) throw new Error("a group is never removed");
    return stateOf(name, group, ranges);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#receivers].map((receiver) => receiver.close()));
    await Promise.all([...this.#logs.values()].map((log) => log.close()));
  }

  /** Throws NOT_FOUND. */
  async #known(stream: string): Promise<number> {
    const partitions = await this.partitions(stream);
    if (partitions !== undefined) return partitions;
    throw new WaybillError(
      "NOT_FOUND",
      `RabbitMQ has no stream "${stream}". Declare it by connecting a service that appends to it or reads it.`,
    );
  }

  #log(stream: string): GroupLog {
    const { names, link, host, send } = this.#parts;
    const { environment, logger } = host;
    const known = this.#logs.get(stream);
    if (known !== undefined) return known;
    const log = new GroupLog({
      queue: names.groupLog(stream),
      link,
      environment,
      send,
      fault: ({ code, message }) => logger.warn(message, { code }),
    });
    this.#logs.set(stream, log);
    return log;
  }

  async #queues(stream: string): Promise<readonly string[]> {
    return Array.from({ length: await this.#known(stream) }, (_, partition) =>
      this.#parts.names.partition(stream, partition),
    );
  }

  async #ranges(stream: string): Promise<readonly Range[]> {
    return rangesOf(this.#looking(stream), await this.#queues(stream));
  }

  /** What groups write down holds something: it is read before anybody looks. */
  #looking(stream: string): RangeParts {
    const { names, host, channel } = this.#parts;
    return { environment: host.environment, channel, witness: names.groupLog(stream) };
  }

  async #moments(
    stream: string,
    to: SeekTarget,
    ranges: readonly Range[],
  ): Promise<readonly number[]> {
    if (typeof to !== "object" || to === null || !("at" in to) || !Number.isFinite(to.at))
      return [];
    const parts = this.#looking(stream);
    const queues = await this.#queues(stream);
    return Promise.all(
      ranges.map((range, partition) =>
        offsetAt(parts, queues[partition] ?? "", { ...range, moment: to.at }),
      ),
    );
  }
}

function stateOf(group: string, { places }: Group, ranges: readonly Range[]): GroupState {
  const partitions = places.map((place, partition) => {
    const { oldest, end } = ranges[partition] ?? { oldest: 0, end: 0 };
    const committed = Math.max(oldest, place.committed);
    return { partition, committed, end, lag: Math.max(0, end - committed), oldest };
  });
  return { group, partitions };
}
