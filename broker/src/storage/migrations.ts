import type { DatabaseSync } from "node:sqlite";
import { WaybillError } from "@waybill/core";
import { pragma } from "./pragma.ts";

/**
 * What was added to the schema since version 1, in order: `migrations[n]` leads from version n + 1 to n + 2. A new file is made
 * of version 1 and all of them, so that new and old files cannot differ. What was released is never changed; a change is a new entry.
 */
export const migrations: readonly string[] = [
  version2(),
  version3(),
  version4(),
  version5(),
  version6(),
  version7(),
  version8(),
  version9(),
  version10(),
];

export const schemaVersion: number = migrations.length + 1;

export interface Migration {
  readonly file: string;
  /** What heartbeats count on: the wall clock, and since version 3 the clock of locks. */
  readonly now: number;
  readonly lockNow?: number;
  /** Only tests give others. */
  readonly steps?: readonly string[];
}

/**
 * Brings an older file up to date in one transaction: it is done as a whole or the file stays as it was. Throws STORAGE_BUSY while
 * processes that know only the older schema have the file open: they would not heed what is new in it.
 */
export function migrate(
  db: DatabaseSync,
  { file, now, lockNow = now, steps = migrations }: Migration,
): void {
  if (versionOf(db) > steps.length) return;
  db.exec("begin immediate");
  try {
    const version = versionOf(db);
    if (version <= steps.length) {
      refuseWhileOlderLive(db, file, version < 3 ? now : lockNow);
      for (const step of steps.slice(version - 1)) db.exec(step);
      db.exec(`pragma user_version = ${steps.length + 1}`);
    }
    db.exec("commit");
  } catch (error) {
    if (db.isTransaction) db.exec("rollback");
    throw error;
  }
  // Who looks at the bytes of the file only, as opening does first, should see the version there. Busy readers only put that off.
  db.exec("pragma wal_checkpoint(truncate)");
}

function versionOf(db: DatabaseSync): number {
  return Number(pragma(db, "user_version"));
}

/** A heartbeat further in the future than any process writes is the leaving of a clock that jumped. */
const heartbeatMsMax = 60_000;

function refuseWhileOlderLive(db: DatabaseSync, file: string, now: number): void {
  const live = db
    .prepare("select count(*) as count from instance where until > ? and until < ?")
    .get(now, now + heartbeatMsMax) as { count: number };
  if (live.count === 0) return;
  throw new WaybillError(
    "STORAGE_BUSY",
    `"${file}" has the schema of an older release, and ${live.count} processes have it open. Stop them, then start again: the file is brought up to date when nobody uses it.`,
    { retryable: true, details: { file, processes: live.count } },
  );
}

/** Version 2: where in its stream the item stands that a dead letter is a copy of; what was sent within the window of duplicate detection. */
function version2(): string {
  return `
alter table message add column place integer;
alter table address add column dedup_ms integer not null default 0;
create table remembered(
  address integer not null,
  key text not null,
  until integer not null,
  primary key (address, key)
) strict, without rowid;
create index remembered_until on remembered(until);
`;
}

/** Version 3: the boot of the machine on whose clock locks and heartbeats count. Those of an older file are void, for it names none. */
function version3(): string {
  return `
create table boot(
  id integer primary key check (id = 1),
  boot text not null
) strict;
`;
}

/**
 * Version 4: keys whose messages keep their order, a row in `session` for each that has something waiting, held or remembered. In `ready` and
 * `locked` a session's messages stand under its id with a minus in place of the address. Those that can be claimed have a `turn`.
 */
function version4(): string {
  return `
alter table address add column sessions integer not null default 0;
create index locked_session on locked(address) where address < 0;
create table session(
  id integer primary key autoincrement,
  address integer not null,
  name text not null,
  turn integer,
  lease integer,
  parked integer,
  due integer,
  state any,
  unique (address, name)
) strict;
create index session_turn on session(address, turn) where turn is not null;
create index session_lease on session(lease) where lease is not null;
create index session_parked on session(parked) where parked is not null;
create index session_due on session(due) where due is not null;
`;
}

/** Version 5: what was sent for later can be found by the id that its sender knows. What waits for its retry has none. */
function version5(): string {
  return `
alter table scheduled add column id text;
update scheduled set id = (select header ->> '$.id' from message where message.seq = scheduled.seq) where attempt = 0;
create index scheduled_id on scheduled(id, address) where id is not null;
`;
}

/** Version 6: since when and why nothing is delivered from an address. */
function version6(): string {
  return `
alter table address add column paused_at integer;
alter table address add column paused_reason text;
`;
}

/**
 * Version 7: what came to each address and what became of it, by type. The books of an older file begin with what stands in it: at most
 * 100 types of an address have lines of their own, and 0 is the address of what is held from addresses that are gone.
 */
function version7(): string {
  return `
create table book(
  address integer not null,
  type text not null,
  line text not null,
  count integer not null,
  primary key (address, type, line)
) strict, without rowid;
insert into book(address, type, line, count)
  with typed as (
    select address, iif(place is null and json_valid(header), coalesce(header ->> '$.type', ''), '') as type, count(*) as count
    from message where address in (select id from address where removed = 0) group by 1, 2
  ), numbered as (
    select address, type, count, row_number() over (partition by address order by type = '' desc, type) as number from typed
  )
  select address, iif(number > 100, '', type), 'opening', sum(count) from numbered group by 1, 2;
insert into book(address, type, line, count)
  select 0, '', 'opening', sum(count) from (
    select count(*) as count from message where address in (select id from address where removed = 1)
    union all select count(*) from lease l join locked k on k.lease = l.id where l.address not in (select id from address)
  ) having sum(count) > 0;
insert into book(address, type, line, count)
  select c.address, '', 'began', sum(max(c.committed, p.first_offset))
  from stream_cursor c join stream_partition p on p.id = c.partition group by c.address;
`;
}

/** Version 8: the failed messages that were deleted last, so that who follows a replay can tell them from those that were handled. */
function version8(): string {
  return `
create table discarded(
  place integer primary key autoincrement,
  seq integer not null unique
) strict;
`;
}

/** Version 9: where an address forwards what arrives, as JSON, and its dead letters, a queue's name; of a dead letter that stands there, where it died. */
function version9(): string {
  return `
alter table address add column forward_to text;
alter table address add column dead_letters_to text;
alter table dead add column origin integer;
`;
}

/** Version 10: every dead letter for which a session waits; `session.parked` is one of them. */
function version10(): string {
  return `
create table parked(
  seq integer primary key,
  session integer not null
) strict;
create index parked_in on parked(session);
insert into parked(seq, session) select parked, id from session where parked is not null;
drop index session_parked;
`;
}
