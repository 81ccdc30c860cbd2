import type { ClientBase, Pool } from "pg";
import type { SagaLine, SagaRow, SagaRows, Sagas } from "@waybill/core";
import { type Statement, running, runningInside } from "./statements.ts";

const line = "saga, id, version, phase, started_at, changed_at, finished_at, forget_at";
const load = `select ${line}, body from waybill_saga where saga = $1 and id = $2`;

/** `version` is a bigint, which the client gives as text. */
interface StoredLine {
  readonly saga: string;
  readonly id: string;
  readonly version: string;
  readonly phase: string;
  readonly started_at: number;
  readonly changed_at: number;
  readonly finished_at: number | null;
  readonly forget_at: number | null;
}

interface StoredSaga extends StoredLine {
  readonly body: string;
}

/**
 * Inside a transaction. An UPDATE waits for who changes the same row, and then sees which version that left. `check` throws when there is no
 * transaction any more: what is written then would be stored alone.
 */
export function sagaRows(client: ClientBase, store: string, check: () => void): SagaRows {
  const run = runningInside(client, store, check);
  const isDone = async (statement: Statement): Promise<boolean> =>
    (await run(statement)).length === 1;
  return {
    load: async ({ saga, id }, { lock = false } = {}) => {
      const [row] = await run<StoredSaga>({
        name: lock ? "waybill-saga-lock" : "waybill-saga-load",
        text: lock ? `${load} for update` : load,
        values: [saga, id],
      });
      return row === undefined ? undefined : toRow(row);
    },
    insert: (row) => {
      const { saga, id, version, phase, body, startedAt, changedAt, finishedAt, forgetAt } = row;
      return isDone({
        name: "waybill-saga-insert",
        text: `insert into waybill_saga (saga, id, version, phase, body, started_at, changed_at, finished_at, forget_at)
          values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict do nothing returning 1`,
        values: [saga, id, version, phase, body, startedAt, changedAt, finishedAt, forgetAt],
      });
    },
    update: (row) => {
      const { saga, id, version, phase, body, changedAt, finishedAt, forgetAt } = row;
      return isDone({
        name: "waybill-saga-update",
        text: `update waybill_saga set version = $3::bigint, phase = $4, body = $5, changed_at = $6, finished_at = $7, forget_at = $8
          where saga = $1 and id = $2 and version = $3::bigint - 1 returning 1`,
        values: [saga, id, version, phase, body, changedAt, finishedAt, forgetAt],
      });
    },
  };
}

export function sagas(pool: Pool, store: string): Sagas {
  const run = running(pool, store);
  return {
    find: async ({ saga, id }) => {
      const [row] = await run<StoredSaga>({
        name: "waybill-saga-load",
        text: load,
        values: [saga, id],
      });
      return row === undefined ? undefined : toRow(row);
    },
    list: async ({ saga, limit, phase, after = "" }) => {
      const inPhase = phase === undefined ? "" : "and phase = $4";
      const rows = await run<StoredLine>({
        name: phase === undefined ? "waybill-saga-list" : "waybill-saga-list-phase",
        text: `select ${line} from waybill_saga where saga = $1 and id > $2 ${inPhase} order by id limit $3`,
        values: [saga, after, limit, ...(phase === undefined ? [] : [phase])],
      });
      return rows.map(toLine);
    },
    // Who is being changed at this moment is left for the next step.
    forget: async (now, limit) => {
      const gone = await run({
        name: "waybill-saga-forget",
        text: `delete from waybill_saga where (saga, id) in (select saga, id from waybill_saga
          where forget_at <= $1 order by forget_at limit $2 for update skip locked) returning 1`,
        values: [now, limit],
      });
      return gone.length;
    },
  };
}

function toRow(row: StoredSaga): SagaRow {
  return { ...toLine(row), body: row.body };
}

function toLine(row: StoredLine): SagaLine {
  const { saga, id, phase } = row;
  return {
    saga,
    id,
    version: Number(row.version),
    phase,
    startedAt: row.started_at,
    changedAt: row.changed_at,
    finishedAt: row.finished_at ?? undefined,
    forgetAt: row.forget_at ?? undefined,
  };
}
