import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { Outgoing, SchedulePage, ScheduleRow, ScheduleRows, Schedules } from "@waybill/core";
import { readRow, type StoredRow } from "./rows.ts";

/** Part of version 3 of the tables. */
export const scheduleTables = `create table waybill_schedule (
  service text not null,
  name text not null,
  contract text not null,
  timing text not null,
  next_at integer,
  last_at integer,
  fired integer not null,
  missed integer not null,
  paused_at integer,
  kept_until integer,
  retired_at integer,
  trouble text,
  kind text,
  target text,
  header text,
  body any,
  not_after integer,
  primary key (service, name)
) strict;

create index waybill_schedule_due on waybill_schedule (next_at) where kind is not null and next_at is not null;`;

const columns = `service, name, contract, timing, next_at, last_at, fired, missed, paused_at, kept_until, retired_at, trouble,
  kind, target, header, body, not_after`;

const names = ["load", "due", "insert", "update", "remove", "list", "nextDue"] as const;

const texts: Readonly<Record<(typeof names)[number], string>> = {
  load: `select ${columns} from waybill_schedule where service = ? and name = ?`,
  due: `select ${columns} from waybill_schedule
    where kind is not null and next_at <= ? order by next_at limit ?`,
  insert: `insert into waybill_schedule (${columns}) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    on conflict (service, name) do nothing`,
  update: `update waybill_schedule set contract = ?3, timing = ?4, next_at = ?5, last_at = ?6, fired = ?7, missed = ?8,
    paused_at = ?9, kept_until = ?10, retired_at = ?11, trouble = ?12, kind = ?13, target = ?14, header = ?15, body = ?16,
    not_after = ?17 where service = ?1 and name = ?2`,
  remove: `delete from waybill_schedule where service = ? and name = ?`,
  list: `select ${columns} from waybill_schedule where (service, name) > (?1, ?2) and (?3 is null or service = ?3)
    and (?4 is null or (kind is null) = ?4) order by service, name limit ?5`,
  nextDue: `select min(next_at) as at from waybill_schedule where kind is not null and next_at is not null`,
};

export type ScheduleStatements = Readonly<Record<(typeof names)[number], StatementSync>>;

export function prepareSchedules(db: DatabaseSync): ScheduleStatements {
  return Object.fromEntries(
    names.map((name) => [name, db.prepare(texts[name])]),
  ) as ScheduleStatements;
}

interface StoredSchedule extends Omit<StoredRow, "key" | "kind" | "not_before"> {
  readonly service: string;
  readonly contract: string;
  readonly timing: string;
  readonly next_at: number | null;
  readonly last_at: number | null;
  readonly fired: number;
  readonly missed: number;
  readonly paused_at: number | null;
  readonly kept_until: number | null;
  readonly retired_at: number | null;
  readonly trouble: string | null;
  /** Null where the service makes its messages. */
  readonly kind: StoredRow["kind"] | null;
  readonly target: string;
}

/** Inside a transaction. SQLite has one writer, so nothing needs a lock. */
export function scheduleRows(
  sql: ScheduleStatements,
  guarded: <Result>(act: () => Result) => Result,
): ScheduleRows {
  return {
    load: ({ service, name }) =>
      guarded(() => {
        const row = sql.load.get(service, name) as StoredSchedule | undefined;
        return row === undefined ? undefined : toRow(row);
      }),
    due: (now, limit) =>
      guarded(() =>
        (sql.due.all(Math.floor(now), limit) as unknown as StoredSchedule[]).map(toRow),
      ),
    insert: (row) => guarded(() => sql.insert.run(...valuesOf(row)).changes === 1),
    update: (row) => guarded(() => void sql.update.run(...valuesOf(row))),
    remove: ({ service, name }) => guarded(() => sql.remove.run(service, name).changes === 1),
  };
}

/** Outside of one: what is committed. */
export function schedules(
  read: <Result>(act: (sql: ScheduleStatements) => Result) => Promise<Result>,
): Schedules {
  return {
    find: ({ service, name }) =>
      read((sql) => {
        const row = sql.load.get(service, name) as StoredSchedule | undefined;
        return row === undefined ? undefined : toRow(row);
      }),
    list: ({ limit, service, declared, after }: SchedulePage) =>
      read((sql) => {
        const kind = declared === undefined ? null : Number(declared);
        const from = [after?.service ?? "", after?.name ?? ""] as const;
        const rows = sql.list.all(...from, service ?? null, kind, limit);
        return (rows as unknown as StoredSchedule[]).map(toRow);
      }),
    nextDue: () =>
      read((sql) => (sql.nextDue.get() as { readonly at: number | null }).at ?? undefined),
  };
}

type Value = string | number | null | Uint8Array;

function valuesOf(row: ScheduleRow): Value[] {
  const { service, name, contract, timing, fired, missed, trouble = null } = row;
  const what = [service, name, contract, timing, whole(row.nextAt), whole(row.lastAt)];
  const states = [row.pausedAt, row.keptUntil, row.retiredAt].map(whole);
  return [...what, fired, missed, ...states, trouble, ...messageOf(row.outgoing)];
}

function messageOf(outgoing: Outgoing | undefined): Value[] {
  if (outgoing === undefined) return [null, null, null, null, null];
  const { to, envelope, notAfter } = outgoing;
  return [to.kind, to.name, JSON.stringify(envelope.header), envelope.body, whole(notAfter)];
}

function whole(time: number | undefined): number | null {
  return time === undefined ? null : Math.floor(time);
}

function toRow(row: StoredSchedule): ScheduleRow {
  const { service, name, contract, timing, fired, missed, kind } = row;
  return {
    service,
    name,
    contract,
    timing,
    outgoing:
      kind === null
        ? undefined
        : readRow({ ...row, key: 0, kind, name: row.target, not_before: null }).outgoing,
    nextAt: row.next_at ?? undefined,
    lastAt: row.last_at ?? undefined,
    fired,
    missed,
    pausedAt: row.paused_at ?? undefined,
    keptUntil: row.kept_until ?? undefined,
    retiredAt: row.retired_at ?? undefined,
    trouble: row.trouble ?? undefined,
  };
}
