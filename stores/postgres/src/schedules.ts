import type { ClientBase, Pool } from "pg";
import type { Outgoing, ScheduleRow, ScheduleRows, Schedules } from "@waybill/core";
import { parametersOf, readRow, type StoredRow } from "./rows.ts";
import { type Statement, running, runningInside } from "./statements.ts";

/** Part of version 3 of the tables. */
export const scheduleTables = `create table waybill_schedule (
  service text collate "C" not null,
  name text collate "C" not null,
  contract text not null,
  timing text not null,
  next_at double precision,
  last_at double precision,
  fired bigint not null,
  missed bigint not null,
  paused_at double precision,
  kept_until double precision,
  retired_at double precision,
  trouble text,
  kind text,
  target text,
  header text,
  body bytea,
  is_text boolean,
  not_after double precision,
  primary key (service, name)
);

create index waybill_schedule_due on waybill_schedule (next_at) where kind is not null and next_at is not null;`;

const columns = `service, name, contract, timing, next_at, last_at, fired, missed, paused_at, kept_until, retired_at, trouble,
  kind, target, header, body, is_text, not_after`;
const load = `select ${columns} from waybill_schedule where service = $1 and name = $2`;
const assigned = columns
  .split(/,\s*/)
  .map((column, index) => `${column} = $${index + 1}`)
  .slice(2)
  .join(", ");

interface StoredSchedule extends Omit<StoredRow, "key" | "kind" | "not_before"> {
  readonly service: string;
  readonly contract: string;
  readonly timing: string;
  readonly next_at: number | null;
  readonly last_at: number | null;
  /** Bigints, which the client gives as text. */
  readonly fired: string;
  readonly missed: string;
  readonly paused_at: number | null;
  readonly kept_until: number | null;
  readonly retired_at: number | null;
  readonly trouble: string | null;
  /** Null where the service makes its messages. */
  readonly kind: StoredRow["kind"] | null;
  readonly target: string;
}

/** Inside a transaction. `check` throws when there is no transaction any more. */
export function scheduleRows(client: ClientBase, store: string, check: () => void): ScheduleRows {
  const run = runningInside(client, store, check);
  const isDone = async (statement: Statement): Promise<boolean> =>
    (await run(statement)).length === 1;
  return {
    load: async ({ service, name }) => {
      const [row] = await run<StoredSchedule>({
        name: "waybill-schedule-lock",
        text: `${load} for update`,
        values: [service, name],
      });
      return row === undefined ? undefined : toRow(row);
    },
    due: async (now, limit) => {
      const rows = await run<StoredSchedule>({
        name: "waybill-schedule-due",
        text: `select ${columns} from waybill_schedule where kind is not null and next_at <= $1
          order by next_at limit $2 for update skip locked`,
        values: [now, limit],
      });
      return rows.map(toRow);
    },
    insert: (row) =>
      isDone({
        name: "waybill-schedule-insert",
        text: `insert into waybill_schedule (${columns}) values (${valuesOf(row)
          .map((_, index) => `$${index + 1}`)
          .join(", ")}) on conflict do nothing returning 1`,
        values: valuesOf(row),
      }),
    update: async (row) => {
      await run({
        name: "waybill-schedule-update",
        text: `update waybill_schedule set ${assigned} where service = $1 and name = $2`,
        values: valuesOf(row),
      });
    },
    remove: ({ service, name }) =>
      isDone({
        name: "waybill-schedule-remove",
        text: "delete from waybill_schedule where service = $1 and name = $2 returning 1",
        values: [service, name],
      }),
  };
}

export function schedules(pool: Pool, store: string): Schedules {
  const run = running(pool, store);
  return {
    find: async ({ service, name }) => {
      const [row] = await run<StoredSchedule>({
        name: "waybill-schedule-load",
        text: load,
        values: [service, name],
      });
      return row === undefined ? undefined : toRow(row);
    },
    list: async ({ limit, service, declared, after }) => {
      const rows = await run<StoredSchedule>({
        name: "waybill-schedule-list",
        text: `select ${columns} from waybill_schedule where (service, name) > ($1, $2)
          and ($3::text is null or service = $3) and ($4::boolean is null or (kind is null) = $4)
          order by service, name limit $5`,
        values: [after?.service ?? "", after?.name ?? "", service ?? null, declared ?? null, limit],
      });
      return rows.map(toRow);
    },
    nextDue: async () => {
      const [row] = await run<{ readonly at: number | null }>({
        name: "waybill-schedule-next",
        text: "select min(next_at) as at from waybill_schedule where kind is not null and next_at is not null",
        values: [],
      });
      return row?.at ?? undefined;
    },
  };
}

function valuesOf(row: ScheduleRow): readonly unknown[] {
  const { service, name, contract, timing, nextAt, lastAt, fired, missed } = row;
  const what = [service, name, contract, timing, nextAt, lastAt, fired, missed];
  const states = [row.pausedAt, row.keptUntil, row.retiredAt, row.trouble];
  return [...what, ...states, ...messageOf(row.outgoing)];
}

function messageOf(outgoing: Outgoing | undefined): readonly unknown[] {
  if (outgoing === undefined) return [null, null, null, null, null, null];
  const [kind, target, header, body, isText, , notAfter] = parametersOf(outgoing);
  return [kind, target, header, body, isText, notAfter];
}

function toRow(row: StoredSchedule): ScheduleRow {
  const { service, name, contract, timing, kind } = row;
  return {
    service,
    name,
    contract,
    timing,
    outgoing:
      kind === null
        ? undefined
        : readRow({ ...row, key: "0", kind, name: row.target, not_before: null }).outgoing,
    nextAt: row.next_at ?? undefined,
    lastAt: row.last_at ?? undefined,
    fired: Number(row.fired),
    missed: Number(row.missed),
    pausedAt: row.paused_at ?? undefined,
    keptUntil: row.kept_until ?? undefined,
    retiredAt: row.retired_at ?? undefined,
    trouble: row.trouble ?? undefined,
  };
}
