import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { SagaKey, SagaLine, SagaPage, SagaRow, SagaRows, Sagas } from "@waybill/core";

const line = "saga, id, version, phase, started_at, changed_at, finished_at, forget_at";

const names = ["load", "insert", "update", "list", "listPhase", "forget"] as const;

const texts: Readonly<Record<(typeof names)[number], string>> = {
  load: `select ${line}, body from waybill_saga where saga = ? and id = ?`,
  insert: `insert into waybill_saga (saga, id, version, phase, body, started_at, changed_at, finished_at, forget_at)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict (saga, id) do nothing`,
  update: `update waybill_saga set version = ?3, phase = ?4, body = ?5, changed_at = ?6, finished_at = ?7, forget_at = ?8
    where saga = ?1 and id = ?2 and version = ?3 - 1`,
  list: `select ${line} from waybill_saga where saga = ? and id > ? order by id limit ?`,
  listPhase: `select ${line} from waybill_saga where saga = ? and phase = ? and id > ? order by id limit ?`,
  forget: `delete from waybill_saga where (saga, id) in
    (select saga, id from waybill_saga where forget_at <= ? order by forget_at limit ?)`,
};

export type SagaStatements = Readonly<Record<(typeof names)[number], StatementSync>>;

export function prepareSagas(db: DatabaseSync): SagaStatements {
  return Object.fromEntries(names.map((name) => [name, db.prepare(texts[name])])) as SagaStatements;
}

interface StoredLine {
  readonly saga: string;
  readonly id: string;
  readonly version: number;
  readonly phase: string;
  readonly started_at: number;
  readonly changed_at: number;
  readonly finished_at: number | null;
  readonly forget_at: number | null;
}

interface StoredSaga extends StoredLine {
  readonly body: string;
}

/** Inside a transaction. SQLite has one writer, so nothing needs a lock. */
export function sagaRows(
  sql: SagaStatements,
  guarded: <Result>(act: () => Result) => Result,
): SagaRows {
  return {
    load: (key) => guarded(() => read(sql, key)),
    insert: (row) =>
      guarded(() => {
        const { saga, id, version, phase, body, startedAt, changedAt } = row;
        const values = [saga, id, version, phase, body, startedAt, changedAt];
        const { changes } = sql.insert.run(...values, row.finishedAt ?? null, row.forgetAt ?? null);
        return changes === 1;
      }),
    update: (row) =>
      guarded(() => {
        const { saga, id, version, phase, body, changedAt, finishedAt, forgetAt } = row;
        const ends = [finishedAt ?? null, forgetAt ?? null];
        return sql.update.run(saga, id, version, phase, body, changedAt, ...ends).changes === 1;
      }),
  };
}

interface SagasParts {
  readonly write: <Result>(act: (sql: SagaStatements) => Result) => Promise<Result>;
  readonly read: <Result>(act: (sql: SagaStatements) => Result) => Promise<Result>;
}

export function sagas(parts: SagasParts): Sagas {
  return {
    find: (key) => parts.read((sql) => read(sql, key)),
    list: ({ saga, limit, phase, after = "" }: SagaPage) =>
      parts.read((sql) => {
        const rows =
          phase === undefined
            ? sql.list.all(saga, after, limit)
            : sql.listPhase.all(saga, phase, after, limit);
        return (rows as unknown as StoredLine[]).map(toLine);
      }),
    forget: (now, limit) =>
      parts.write(({ forget }) => Number(forget.run(Math.floor(now), limit).changes)),
  };
}

function read(sql: SagaStatements, { saga, id }: SagaKey): SagaRow | undefined {
  const row = sql.load.get(saga, id) as unknown as StoredSaga | undefined;
  return row === undefined ? undefined : { ...toLine(row), body: row.body };
}

function toLine(row: StoredLine): SagaLine {
  const { saga, id, version, phase } = row;
  return {
    saga,
    id,
    version,
    phase,
    startedAt: row.started_at,
    changedAt: row.changed_at,
    finishedAt: row.finished_at ?? undefined,
    forgetAt: row.forget_at ?? undefined,
  };
}
