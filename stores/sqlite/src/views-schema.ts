/** The tables of views, in the order of their making. */
export const viewTables: string = `create table waybill_view (
  view text primary key not null,
  generation integer not null,
  building integer,
  building_since integer,
  last integer not null
) strict, without rowid;

create table waybill_view_row (
  view text not null,
  generation integer not null,
  key text not null,
  body text,
  versions text not null,
  changed_at integer not null,
  primary key (view, generation, key)
) strict, without rowid;

create index waybill_view_row_removed on waybill_view_row (changed_at) where body is null;

create table waybill_view_message (
  key integer primary key,
  view text not null,
  generation integer not null,
  message text not null,
  cause text,
  conversation text,
  handled_at integer not null,
  unique (view, message, generation)
) strict;

create index waybill_view_message_cause on waybill_view_message (view, cause) where cause is not null;

create index waybill_view_message_conversation on waybill_view_message (view, conversation) where conversation is not null;

create table waybill_view_mark (
  view text not null,
  generation integer not null,
  source text not null,
  part integer not null,
  position integer,
  opens_at integer,
  applied integer not null,
  sent_at integer not null,
  applied_at integer not null,
  primary key (view, generation, source, part)
) strict, without rowid;`;
