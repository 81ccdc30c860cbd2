import { type SeekTarget, type StreamSpec, WaybillError, seekOffsets } from "@waybill/core";
import { fnv1a, parsedJson } from "@waybill/core/adapter";
import { AckPolicy, DeliverPolicy, type StreamInfo } from "@nats-io/jetstream";
import { nanos } from "@nats-io/transport-node";
import { type DeclareParts, ensureStream } from "../declare.ts";
import { brokerError, isMissing } from "../errors.ts";
import { duplicateWindowMs } from "../options.ts";
import { recordsWindowMs } from "../records.ts";

/** What is retained of one partition. */
export interface Range {
  readonly oldest: number;
  readonly end: number;
}

const shortestAgeMs = 100;
const unlimited = -1;

/** The partitions of all streams. */
export class Logs {
  readonly #parts: DeclareParts;
  readonly #known = new Map<string, number>();

  constructor(parts: DeclareParts) {
    this.#parts = parts;
  }

  /** Throws WIRING_INVALID when it exists with another number of partitions. What it keeps may change. */
  async declare({ name, partitions, retention }: StreamSpec): Promise<void> {
    const { names, link } = this.#parts;
    const { ageMs, bytes } = retention;
    const kept = {
      max_age: ageMs === undefined ? 0 : nanos(Math.max(shortestAgeMs, Math.ceil(ageMs))),
      max_bytes: bytes === undefined ? unlimited : Math.ceil(bytes),
      duplicate_window: nanos(
        Math.min(duplicateWindowMs, Math.max(shortestAgeMs, ageMs ?? Infinity)),
      ),
    };
    await ensureStream(this.#parts, {
      name: names.groupsStream,
      subjects: [names.allGroups],
      max_msgs_per_subject: 1,
      duplicate_window: nanos(recordsWindowMs),
    });
    const description = JSON.stringify({ partitions });
    await Promise.all(
      Array.from({ length: partitions }, async (_, partition) => {
        const stream = names.partitionStream(name, partition);
        const subjects = [names.partitionSubject(name, partition)];
        const known = await ensureStream(this.#parts, {
          name: stream,
          subjects,
          description,
          ...kept,
        });
        if (known === undefined) return;
        assertSame(name, { partitions, known: partitionsIn(known.description) });
        if (known.max_age !== kept.max_age || known.max_bytes !== kept.max_bytes)
          await link.jetstream.streams.update(stream, kept);
      }),
    );
    this.#known.set(name, partitions);
  }

  /** Undefined when there is no such stream. */
  async partitions(name: string): Promise<number | undefined> {
    const known = this.#known.get(name);
    if (known !== undefined) return known;
    const found = partitionsIn((await this.#info(name, 0))?.config.description);
    if (found !== undefined) this.#known.set(name, found);
    return found;
  }

  /** Somebody deleted it. */
  forget(name: string): void {
    this.#known.delete(name);
  }

  /** Throws NOT_FOUND. */
  async ranges(name: string): Promise<readonly Range[]> {
    const partitions = await this.partitions(name);
    const infos = await Promise.all(
      Array.from({ length: partitions ?? 0 }, (_, partition) => this.#info(name, partition)),
    );
    if (infos.length === 0 || infos.includes(undefined)) {
      this.forget(name);
      throw missingStream(name);
    }
    return infos.map((info) => rangeOf(info as StreamInfo));
  }

  /** The offset that a target means in each partition that it names. Throws OPTION_INVALID. */
  async offsets(name: string, to: SeekTarget): Promise<ReadonlyMap<number, number>> {
    const ranges = await this.ranges(name);
    const moment = typeof to === "object" && to !== null && "at" in to ? to.at : undefined;
    const found =
      moment === undefined || !Number.isFinite(moment)
        ? []
        : await Promise.all(
            ranges.map((range, partition) => this.#offsetAt(name, { partition, range, moment })),
          );
    return seekOffsets(
      to,
      ranges.map((range, partition) => ({
        ...range,
        partition,
        offsetAt: () => found[partition] ?? range.end,
      })),
    );
  }

  /** JetStream itself finds the place, for a consumer that begins there. */
  async #offsetAt(
    name: string,
    { partition, range, moment }: { partition: number; range: Range; moment: number },
  ): Promise<number> {
    if (moment <= 0 || range.oldest === range.end) return range.oldest;
    if (moment >= latestMoment) return range.end;
    const { names, link } = this.#parts;
    const { consumers } = link.jetstream;
    const stream = names.partitionStream(name, partition);
    try {
      const { name: consumer, delivered } = await consumers.add(stream, {
        ack_policy: AckPolicy.None,
        deliver_policy: DeliverPolicy.StartTime,
        opt_start_time: new Date(moment).toISOString(),
        inactive_threshold: nanos(1_000),
        mem_storage: true,
        num_replicas: 1,
      });
      await consumers.delete(stream, consumer).catch(() => undefined);
      return delivered.stream_seq;
    } catch (thrown) {
      throw brokerError(`Looking for a moment in "${name}"`, thrown);
    }
  }

  async #info(name: string, partition: number): Promise<StreamInfo | undefined> {
    const { names, link } = this.#parts;
    try {
      return await link.jetstream.streams.info(names.partitionStream(name, partition));
    } catch (thrown) {
      if (isMissing(thrown)) return undefined;
      throw brokerError(`Looking at the stream "${name}"`, thrown);
    }
  }
}

/** The last moment that every language's clock can name. */
const latestMoment = Date.UTC(9999, 11, 31);

function rangeOf({ state }: StreamInfo): Range {
  const end = state.last_seq;
  return { end, oldest: state.messages === 0 ? end : state.first_seq - 1 };
}

function partitionsIn(description: string | undefined): number | undefined {
  const read = parsedJson(description ?? "");
  const { partitions } = Object(read) as { partitions?: unknown };
  return Number.isSafeInteger(partitions) ? (partitions as number) : undefined;
}

function assertSame(
  name: string,
  { partitions, known }: { readonly partitions: number; readonly known: number | undefined },
): void {
  if (known === partitions) return;
  throw new WaybillError(
    "WIRING_INVALID",
    `The stream "${name}" has ${known ?? "an unknown number of"} partitions on NATS, and is declared with ${partitions}. Keys would change their partition: declare it as it is, or give it another name.`,
  );
}

export function missingStream(name: string): WaybillError {
  return new WaybillError(
    "NOT_FOUND",
    `NATS has no stream "${name}". Declare it, or connect a service that uses it.`,
  );
}

/** As nats-server's own `{{partition(n, …)}}` of a subject mapping: FNV-1a over UTF-8, so that who maps subjects there comes to the same place. It must never change. */
export function partitionOf(key: string, partitions: number): number {
  return fnv1a(key) % partitions;
}
