import type { LeftBy, PurgeState, WaybillError } from "@waybill/core";
import { leave } from "./dead-letters.ts";
import { storedLine, unpark } from "../queues/sessions.ts";
import type { Transaction } from "../storage/transaction.ts";
import type { Operation } from "../storage/writer.ts";

/** Messages that one step of a purge or of cancelling deletes: others wait for the write lock meanwhile. */
export const removeStepMax = 500;

/** So many of the failed messages that were deleted are remembered, for those who follow a replay. */
const discardedMax = 10_000;

export interface CountAnswer {
  resolve(count: number): void;
  reject(error: WaybillError): void;
}

/** Deletes a message for good, wherever it waits or was set aside. False when it is in flight or not there. */
export function remove(transaction: Transaction, seq: number, by: LeftBy): boolean {
  const { sql } = transaction;
  const from = takeOut(transaction, seq);
  if (from === undefined) return false;
  leave(transaction, seq, by === "discarded" && from === "scheduled" ? "cancelled" : by);
  unpark(transaction, seq);
  const hadFailed = sql.deleteFailure.run(seq).changes !== 0;
  sql.deleteMessage.run(seq);
  if (hadFailed && (by === "discarded" || by === "purged")) {
    sql.noteDiscarded.run(seq);
    sql.forgetDiscarded.run(discardedMax);
  }
  return true;
}

function takeOut(transaction: Transaction, seq: number): PurgeState | undefined {
  const { sql } = transaction;
  if (sql.deleteDead.run(seq).changes !== 0) return "dead";
  if (sql.deleteDeferred.run(seq).changes !== 0) return "deferred";
  const row = sql.bookedAs.get(seq) as { address: number } | undefined;
  if (row === undefined) return undefined;
  if (
    sql.deleteReady.run(row.address, seq).changes !== 0 ||
    sql.deleteReady.run(storedLine(transaction, row.address, seq), seq).changes !== 0
  )
    return "ready";
  return sql.takeScheduled.run(row.address, seq).changes === 0 ? undefined : "scheduled";
}

abstract class RemoveOperation implements Operation {
  abstract readonly weight: number;
  protected abstract readonly by: LeftBy;
  readonly bytes = 0;
  readonly #answer: CountAnswer;
  #count = 0;

  constructor(answer: CountAnswer) {
    this.#answer = answer;
  }

  run(transaction: Transaction): void {
    this.#count = 0;
    for (const seq of this.wanted(transaction))
      if (remove(transaction, seq, this.by)) this.#count += 1;
  }

  done(): void {
    this.#answer.resolve(this.#count);
  }

  failed(error: WaybillError): void {
    this.#answer.reject(error);
  }

  protected abstract wanted(transaction: Transaction): readonly number[];
}

/** Deletes messages by their handles. */
export class DiscardOperation extends RemoveOperation {
  readonly weight: number;
  protected override readonly by = "discarded";
  readonly #handles: readonly string[];

  constructor(handles: readonly string[], answer: CountAnswer) {
    super(answer);
    this.weight = Math.max(1, handles.length);
    this.#handles = handles;
  }

  protected override wanted(): readonly number[] {
    return this.#handles.filter((handle) => /^\d{1,15}$/.test(handle)).map(Number);
  }
}

/** One step of taking back what was sent for later, by the ids that its sender knows. */
export class CancelOperation extends RemoveOperation {
  readonly weight: number;
  protected override readonly by = "cancelled";
  readonly #ids: readonly string[];
  readonly #address: number | undefined;

  constructor(ids: readonly string[], address: number | undefined, answer: CountAnswer) {
    super(answer);
    this.weight = Math.max(1, ids.length);
    this.#ids = ids;
    this.#address = address;
  }

  protected override wanted({ sql }: Transaction): readonly number[] {
    const wanted = new Set<number>();
    for (const id of this.#ids) {
      const room = removeStepMax - wanted.size;
      if (room <= 0) break;
      const rows =
        this.#address === undefined
          ? sql.scheduledAs.all(id, room)
          : sql.scheduledAsAt.all(id, this.#address, room);
      for (const { seq } of rows as unknown as { seq: number }[]) wanted.add(seq);
    }
    return [...wanted];
  }
}

export interface Purge {
  readonly address: number;
  readonly state: PurgeState;
  /** Set by the first step: what arrives later stays. */
  before?: number;
}

/** One step of a purge, oldest first. */
export class PurgeOperation extends RemoveOperation {
  readonly weight: number = removeStepMax;
  protected override readonly by = "purged";
  readonly #purge: Purge;

  constructor(purge: Purge, answer: CountAnswer) {
    super(answer);
    this.#purge = purge;
  }

  protected override wanted(transaction: Transaction): readonly number[] {
    const { sql } = transaction;
    const { address, state } = this.#purge;
    this.#purge.before ??= transaction.takeSeq();
    const listed = {
      ready: sql.listReady,
      scheduled: sql.listScheduled,
      deferred: sql.listDeferred,
      dead: sql.listDead,
    }[state];
    const statements = state === "ready" ? [listed, sql.listReadySessions] : [listed];
    const rows = statements
      .flatMap((each) => each.all(address, 0, removeStepMax) as unknown as { seq: number }[])
      .toSorted((left, right) => left.seq - right.seq)
      .slice(0, removeStepMax);
    const { before } = this.#purge;
    return rows.map(({ seq }) => seq).filter((seq) => seq < before);
  }
}
