/** "WAYB" in the header of the file: tells a broker's file from any other SQLite file. */
export const applicationId = 0x57415942;

/**
 * Version 1; what came later is in migrations.ts.
 *
 * What a message says never changes and lies in `message` in the order of its arrival. Where it stands is one row in one
 * of the small tables below, each clustered by the question that is asked of it, so that no question ever looks
 * at messages that it does not answer with:
 *
 * - `ready`: what can be claimed, by address, oldest first
 * - `locked`: what was delivered and not settled, by lease. A lease is one receiver's right to what it holds. Its id is never
 *   used again: it is the fencing token
 * - `scheduled`: what comes later, by the moment
 * - `deferred`, `dead`: what was set aside, by address
 */
export const schema = `
create table state(
  id integer primary key check (id = 1),
  next_seq integer not null,
  topology integer not null
) strict;
insert into state(id, next_seq, topology) values (1, 1, 1);

create table instance(
  id integer primary key autoincrement,
  name text not null,
  until integer not null
) strict;

create table address(
  id integer primary key autoincrement,
  kind text not null check (kind in ('queue', 'topic', 'subscription', 'stream')),
  name text not null,
  topic text,
  accepts text,
  instance integer,
  removed integer not null default 0,
  unique (kind, name)
) strict;
create index address_instance on address(instance) where instance is not null;
create index address_removed on address(removed) where removed = 1;

create table owner(
  address integer not null,
  instance integer not null,
  service text not null,
  place text not null,
  primary key (address, instance, service)
) strict, without rowid;
create index owner_instance on owner(instance);

create table lease(
  id integer primary key autoincrement,
  address integer not null,
  instance integer not null,
  until integer,
  counts integer not null
) strict;
create index lease_until on lease(until) where until is not null;
create index lease_address on lease(address);
create index lease_instance on lease(instance);

create table message(
  seq integer primary key,
  address integer not null,
  enqueued_at integer not null,
  discard_expired integer not null,
  header text not null,
  body any not null
) strict;

create table ready(
  address integer not null,
  seq integer not null,
  attempt integer not null,
  bytes integer not null,
  expires integer,
  primary key (address, seq)
) strict, without rowid;
create index ready_expires on ready(expires) where expires is not null;

create table locked(
  lease integer not null,
  seq integer not null,
  address integer not null,
  attempt integer not null,
  bytes integer not null,
  expires integer,
  primary key (lease, seq)
) strict, without rowid;

create table scheduled(
  due integer not null,
  seq integer not null,
  address integer not null,
  attempt integer not null,
  bytes integer not null,
  expires integer,
  primary key (due, seq)
) strict, without rowid;
create index scheduled_address on scheduled(address, seq);
create index scheduled_expires on scheduled(expires) where expires is not null;

create table deferred(
  seq integer primary key,
  address integer not null,
  attempt integer not null
) strict;
create index deferred_address on deferred(address, seq);

create table dead(
  seq integer primary key,
  address integer not null,
  attempt integer not null
) strict;
create index dead_address on dead(address, seq);

create table failure(
  seq integer primary key,
  failure text not null
) strict;

create table stream(
  id integer primary key autoincrement,
  name text not null unique,
  partitions integer not null,
  age_ms integer,
  bytes_max integer
) strict;

create table stream_partition(
  id integer primary key autoincrement,
  stream integer not null,
  number integer not null,
  first_offset integer not null default 0,
  next_offset integer not null default 0,
  bytes integer not null default 0,
  unique (stream, number)
) strict;

create table stream_item(
  place integer primary key,
  enqueued_at integer not null,
  bytes integer not null,
  header text not null,
  body any not null
) strict;

create table stream_cursor(
  address integer not null,
  partition integer not null,
  committed integer not null,
  delivered integer not null,
  attempt integer not null default 0,
  lease integer,
  primary key (address, partition)
) strict, without rowid;
create index stream_cursor_lease on stream_cursor(lease) where lease is not null;
`;
