import type { DatabaseSync } from "node:sqlite";
import { type Migration, WaybillError } from "@waybill/core";
import { viewTables } from "./views-schema.ts";
import { scheduleTables } from "./schedules.ts";
import { eventTables } from "./event-tables.ts";

/** Never changed once released: a change is a new version. */
export const migrations: readonly Migration[] = [
  {
    version: 1,
    sql: `create table waybill_schema (version integer primary key not null) strict;

create table waybill_instance (
  id text primary key not null,
  keeper text not null,
  boot text not null,
  until integer not null
) strict, without rowid;

create table waybill_outbox (
  key integer primary key autoincrement,
  owner text references waybill_instance (id),
  kind text not null,
  name text not null,
  header text not null,
  body any not null,
  not_before integer,
  not_after integer,
  stored_at integer not null,
  reason text,
  message text
) strict;

create index waybill_outbox_aside on waybill_outbox (key) where owner is null;

create table waybill_inbox (
  key integer primary key,
  address text not null,
  message text not null,
  handled_at integer not null,
  unique (address, message)
) strict;

insert into waybill_schema (version) values (1);`,
  },
  {
    version: 2,
    sql: `create table waybill_saga (
  saga text not null,
  id text not null,
  version integer not null,
  phase text not null,
  body text not null,
  started_at integer not null,
  changed_at integer not null,
  finished_at integer,
  forget_at integer,
  primary key (saga, id)
) strict, without rowid;

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

/** Applies what is missing, in one transaction. Repeatable, also by several processes at once. */
export function migrate(db: DatabaseSync): void {
  db.exec("begin immediate");
  try {
    const done = versionOf(db);
    for (const { version, sql } of migrations) if (version > done) db.exec(sql);
    db.exec("commit");
  } catch (error) {
    if (db.isTransaction) db.exec("rollback");
    throw error;
  }
}

/** Throws STORAGE_INVALID where the tables are missing, or newer than this version of Waybill knows. */
export function checkVersion(db: DatabaseSync, file: string): void {
  const version = versionOf(db);
  const newest = migrations.at(-1)?.version ?? 0;
  if (version === newest) return;
  throw new WaybillError(
    "STORAGE_INVALID",
    version > newest
      ? `The tables of Waybill in "${file}" have version ${version}; this version of Waybill knows ${newest}. Update Waybill in this process.`
      : `The tables of Waybill in "${file}" have version ${version}, and version ${newest} is needed. Run store.migrate() when you deploy, apply store.migrations by your own means, or allow it here: sqlite({ migrate: true }).`,
    { details: { version, newest } },
  );
}

/** 0 where there is nothing yet. */
function versionOf(db: DatabaseSync): number {
  const known = db
    .prepare("select 1 from sqlite_master where type = 'table' and name = 'waybill_schema'")
    .get();
  if (known === undefined) return 0;
  const row = db.prepare("select max(version) as version from waybill_schema").get();
  return Number(row?.["version"] ?? 0);
}
