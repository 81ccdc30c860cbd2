import type { Body, WaybillError } from "@waybill/core";
import type { Plan } from "../storage/budget.ts";
import { decode } from "../storage/codec.ts";
import type { Grant, Lease } from "../queues/lease.ts";
import type { StreamItem } from "./delivery.ts";
import { offsetOf, placeOf } from "./places.ts";
import { StreamReader } from "./reader.ts";
import { type GroupStart, joinGroup, type Share, shareOf } from "./share.ts";
import type { Transaction } from "../storage/transaction.ts";
import type { Operation } from "../storage/writer.ts";

type HeadRow = readonly [place: number, bytes: number];
type ItemRow = readonly [
  place: number,
  bytes: number,
  enqueuedAt: number,
  header: string,
  body: Body,
];

/** The member of a group that fetches. */
export interface Fetcher {
  readonly group: GroupStart;
  readonly lease: Lease;
  readonly hand: {
    readonly readers: readonly StreamReader[];
    /** Puts another partition first. */
    rotate(): void;
  };
  readonly isStopped: boolean;
  /** The members of the group, or their partitions, may have changed. */
  readonly sharesAgain: boolean;
  /** Items that may be fetched now. */
  plan(): Plan;
  /** A fetch was committed. */
  fetched(fetched: Fetched): void;
  fetchFailed(error: WaybillError): void;
}

export interface FetchedItem extends StreamItem {
  readonly reader: StreamReader;
  readonly bytes: number;
}

/** What one transaction found for a receiver of a stream. */
export interface Fetched {
  readonly grant: Grant | undefined;
  readonly address: number | undefined;
  /** Readers of partitions that were acquired. */
  readonly acquired: readonly StreamReader[];
  /** Partitions beyond the fair share. */
  readonly surplus: readonly number[];
  /** Readers of partitions that were taken away. */
  readonly lost: readonly StreamReader[];
  readonly items: readonly FetchedItem[];
  /** Nothing else was there. */
  readonly drained: boolean;
  /** What is next in some partition is larger than the room that is left. */
  readonly blocked: boolean;
}

const unchanged: Share = { acquired: [], surplus: [], lost: [] };
const nothing: Fetched = {
  grant: undefined,
  address: undefined,
  acquired: [],
  surplus: [],
  lost: [],
  items: [],
  drained: true,
  blocked: false,
};

/** Joins the group, takes the partitions of its share, and reads on in them. */
export class FetchOperation implements Operation {
  readonly weight = 1;
  readonly bytes = 0;
  readonly #fetcher: Fetcher;
  #fetched: Fetched = nothing;

  constructor(fetcher: Fetcher) {
    this.#fetcher = fetcher;
  }

  run(transaction: Transaction): void {
    this.#fetched = nothing;
    const fetcher = this.#fetcher;
    if (fetcher.isStopped) return;
    const address = joinGroup(transaction, fetcher.group);
    if (address === undefined) return;
    const grant = fetcher.lease.take(transaction, address);
    const isSame = grant.id === fetcher.lease.id;
    // The others learn that the group has a new member.
    if (!isSame) transaction.madeReady.add(address);
    fetcher.hand.rotate();
    const kept = isSame ? fetcher.hand.readers : [];
    const held = new Set(kept.map(({ partition }) => partition));
    const share =
      fetcher.sharesAgain || !isSame
        ? shareOf(transaction, { address, lease: grant.id, held })
        : unchanged;
    const partitions = transaction.addresses.stream(fetcher.group.stream)?.partitions ?? [];
    const acquired = share.acquired.map(
      (stored) => new StreamReader(partitions.indexOf(stored.partition), stored),
    );
    const lost = kept.filter(({ partition }) => share.lost.includes(partition));
    const readers = [...kept.filter((reader) => !lost.includes(reader)), ...acquired].filter(
      ({ partition }) => !share.surplus.includes(partition),
    );
    const plan = fetcher.plan();
    const { room } = plan;
    const read = readers.map((reader) =>
      readOn(transaction, { reader, plan, address, lease: grant.id }),
    );
    const items = read.flatMap((each) => each.items);
    transaction.claimed += items.length;
    lost.push(...read.flatMap((each) => each.lost));
    const blocked = read.some((each) => each.blocked);
    this.#fetched = {
      grant,
      address,
      acquired,
      surplus: share.surplus,
      lost,
      items,
      drained: items.length < room && !blocked,
      blocked,
    };
  }

  done(): void {
    this.#fetcher.fetched(this.#fetched);
  }

  failed(error: WaybillError, fate?: "unsynced"): void {
    if (fate === "unsynced") this.#fetcher.lease.giveUp();
    this.#fetcher.fetchFailed(error);
  }
}

interface Reading {
  readonly reader: StreamReader;
  readonly plan: Plan;
  readonly address: number;
  readonly lease: number;
}

interface Read {
  readonly items: readonly FetchedItem[];
  readonly blocked: boolean;
  /** The reader, when its partition was taken away. */
  readonly lost: readonly StreamReader[];
}

const nothingRead: Read = { items: [], blocked: false, lost: [] };

function readOn({ sql }: Transaction, { reader, plan, address, lease }: Reading): Read {
  const { partition, number } = reader;
  const limit = reader.readable(plan.room);
  if (limit === 0) return nothingRead;
  const from = placeOf(partition, reader.next);
  const head = sql.headItems.all(from, placeOf(partition + 1, 0), limit) as unknown as HeadRow[];
  const fitting = head.findIndex(([, bytes]) => !plan.fits(bytes));
  const last = (fitting < 0 ? head : head.slice(0, fitting)).at(-1);
  const blocked = fitting >= 0;
  if (last === undefined) return { ...nothingRead, blocked };
  const delivered = offsetOf(last[0]) + 1;
  if (sql.markDelivered.run(delivered, address, partition, lease).changes === 0)
    return { ...nothingRead, lost: [reader] };
  const rows = sql.itemContents.all(from, last[0]) as unknown as ItemRow[];
  const items = rows.map(([place, bytes, enqueuedAt, header, body]): FetchedItem => {
    const offset = offsetOf(place);
    return {
      reader,
      bytes,
      enqueuedAt,
      envelope: decode(header, body),
      attempt: reader.attemptOf(offset),
      position: { partition: number, offset },
    };
  });
  const [first] = items;
  if (first !== undefined && reader.isSuspect)
    sql.countAttempt.run(first.attempt, address, partition, lease);
  return { ...nothingRead, items, blocked };
}
