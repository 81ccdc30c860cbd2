import type { ClientBase } from "pg";
import { type Migration, WaybillError } from "@waybill/core";
import { viewTables } from "./views-schema.ts";
import { scheduleTables } from "./schedules.ts";
import { eventTables } from "./event-tables.ts";

/** Never changed once released: a change is a new version. */
export const migrations: readonly Migration[] = [
  {
    version: 1,
    sql: `create table waybill_schema (version integer primary key);

create table waybill_instance (
  id text primary key,
  keeper text not null,
  until timestamptz not null
);

create table waybill_outbox (
  key bigint generated always as identity primary key,
  owner text references waybill_instance (id),
  kind text not null,
  name text not null,
  header text not null,
  body bytea not null,
  is_text boolean not null,
  not_before double precision,
  not_after double precision,
  stored_at timestamptz not null default clock_timestamp(),
  reason text,
  message text
);

create index waybill_outbox_aside on waybill_outbox (key) where owner is null;

create table waybill_inbox (
  address text not null,
  message text not null,
  handled_at timestamptz not null default clock_timestamp(),
  primary key (address, message)
);

create index waybill_inbox_handled_at on waybill_inbox using brin (handled_at);

insert into waybill_schema (version) values (1);`,
  },
  {
    version: 2,
    sql: `create table waybill_saga (
  saga text collate "C" not null,
  id text collate "C" not null,
  version bigint not null,
  phase text collate "C" not null,
  body text not null,
  started_at double precision not null,
  changed_at double precision not null,
  finished_at double precision,
  forget_at double precision,
  primary key (saga, id)
);

create index waybill_saga_phase on waybill_saga (saga, phase, id);

create index waybill_saga_forget on waybill_saga (forget_at) where forget_at is not null;

insert into waybill_schema (version) values (2);`,
  },
  {
    version: 3,
    sql: `${viewTables}

${scheduleTables}

${eventTables}
insert into waybill_schema (version) values (3);`,
  },
];

/** Any number, the same for everybody who migrates. */
const lockKey = 7_728_392_451;

/** Applies what is missing, in one transaction. Repeatable, also by several processes at once. */
export async function migrate(client: ClientBase): Promise<void> {
  await client.query("begin");
  try {
    await client.query("select pg_advisory_xact_lock($1)", [lockKey]);
    const done = await versionOf(client);
    for (const { version, sql } of migrations) if (version > done) await client.query(sql);
    await client.query("commit");
  } catch (error) {
    await client.query("rollback").catch(() => undefined);
    throw error;
  }
}

/** Throws STORAGE_INVALID where the tables are missing, or newer than this version of Waybill knows. */
export async function checkVersion(client: ClientBase, name: string): Promise<void> {
  const version = await versionOf(client);
  const newest = migrations.at(-1)?.version ?? 0;
  if (version === newest) return;
  throw new WaybillError(
    "STORAGE_INVALID",
    version > newest
      ? `The tables of Waybill in ${name} have version ${version}; this version of Waybill knows ${newest}. Update Waybill in this process.`
      : `The tables of Waybill in ${name} have version ${version}, and version ${newest} is needed. Run store.migrate() when you deploy, apply store.migrations by your own means, or allow it here: postgres({ migrate: true }).`,
    { details: { version, newest } },
  );
}

/** 0 where there is nothing yet. */
async function versionOf(client: ClientBase): Promise<number> {
  const known = await client.query("select to_regclass('waybill_schema') as name");
  if ((known.rows[0] as { name: unknown }).name === null) return 0;
  const { rows } = await client.query("select max(version) as version from waybill_schema");
  return (rows[0] as { version: number | null }).version ?? 0;
}
