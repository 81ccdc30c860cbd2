import {
  type GroupState,
  type RetainedRange,
  type SeekTarget,
  WaybillError,
  firstSince,
  seekOffsets,
} from "@waybill/core";
import { placeOf } from "./places.ts";
import type { Statements } from "../storage/statements.ts";
import { Refusal, type Transaction } from "../storage/transaction.ts";
import type { Operation } from "../storage/writer.ts";

interface PartitionRow {
  readonly id: number;
  readonly number: number;
  readonly first: number;
  readonly next: number;
}

export interface GroupPlace {
  readonly stream: number;
  /** The group's address. */
  readonly address: number;
  readonly group: string;
}

/** How far a group has come. */
export function groupState(sql: Statements, { stream, address, group }: GroupPlace): GroupState {
  const cursors = sql.cursorsOf.all(address) as unknown as {
    partition: number;
    committed: number;
  }[];
  const committed = new Map(cursors.map((cursor) => [cursor.partition, cursor.committed]));
  const partitions = partitionsOf(sql, stream).map(({ id, number, first, next }) => {
    const from = Math.max(first, committed.get(id) ?? first);
    return { partition: number, committed: from, end: next, lag: next - from, oldest: first };
  });
  return { group, partitions };
}

export interface SeekAnswer {
  resolve(state: GroupState): void;
  reject(error: WaybillError): void;
}

/**
 * Puts a group to another place. Its cursors there are nobody's afterwards: who held them commits in vain, and whoever takes them next, the same
 * reader or another, begins at the new place.
 */
export class SeekOperation implements Operation {
  readonly weight = 1;
  readonly bytes = 0;
  readonly #place: GroupPlace;
  readonly #to: SeekTarget;
  readonly #answer: SeekAnswer;
  #state: GroupState | undefined;

  constructor(place: GroupPlace, to: SeekTarget, answer: SeekAnswer) {
    this.#place = place;
    this.#to = to;
    this.#answer = answer;
  }

  run({ sql, book, madeReady }: Transaction): void {
    const { address, stream } = this.#place;
    const partitions = partitionsOf(sql, stream);
    const before = groupState(sql, this.#place);
    for (const [number, offset] of offsetsOf(sql, this.#to, partitions)) {
      const { id } = partitions[number] as PartitionRow;
      sql.moveCursor.run(offset, offset, address, id);
    }
    const state = groupState(sql, this.#place);
    for (const [number, { lag }] of state.partitions.entries()) {
      const more = lag - (before.partitions[number]?.lag ?? lag);
      book.countMany(address, more > 0 ? "repeated" : "skipped", Math.abs(more));
    }
    this.#state = state;
    madeReady.add(address);
  }

  done(): void {
    this.#answer.resolve(this.#state as GroupState);
  }

  failed(error: WaybillError): void {
    this.#answer.reject(error);
  }
}

function partitionsOf(sql: Statements, stream: number): readonly PartitionRow[] {
  return sql.partitionsOf.all(stream) as unknown as PartitionRow[];
}

function offsetsOf(
  sql: Statements,
  to: SeekTarget,
  partitions: readonly PartitionRow[],
): ReadonlyMap<number, number> {
  try {
    return seekOffsets(
      to,
      partitions.map((row) => rangeOf(sql, row)),
    );
  } catch (error) {
    throw error instanceof WaybillError ? new Refusal(error) : error;
  }
}

function rangeOf(sql: Statements, { id, number, first, next }: PartitionRow): RetainedRange {
  const takenAt = (offset: number): number => {
    const row = sql.itemTakenAt.get(placeOf(id, offset)) as { at: number } | undefined;
    return row?.at ?? Number.POSITIVE_INFINITY;
  };
  const offsetAt = (moment: number): number =>
    firstSince(moment, { low: first, high: next }, takenAt);
  return { partition: number, oldest: first, end: next, offsetAt };
}
