/** The tables of views, in the order of their making. */
export const viewTables: string = `create table waybill_view (
  view text collate "C" primary key,
  generation integer not null,
  building integer,
  building_since double precision,
  last integer not null
);

create table waybill_view_row (
  view text collate "C" not null,
  generation integer not null,
  key text collate "C" not null,
  body text,
  versions text not null,
  changed_at double precision not null,
  primary key (view, generation, key)
);

create index waybill_view_row_removed on waybill_view_row (changed_at) where body is null;

create table waybill_view_message (
  view text collate "C" not null,
  generation integer not null,
  message text collate "C" not null,
  cause text collate "C",
  conversation text collate "C",
  handled_at timestamptz not null default clock_timestamp(),
  primary key (view, message, generation)
);

create index waybill_view_message_cause on waybill_view_message (view, cause) where cause is not null;

create index waybill_view_message_conversation on waybill_view_message (view, conversation) where conversation is not null;

create index waybill_view_message_handled_at on waybill_view_message using brin (handled_at);

create table waybill_view_mark (
  view text collate "C" not null,
  generation integer not null,
  source text collate "C" not null,
  part integer not null,
  position bigint,
  opens_at bigint,
  applied bigint not null,
  sent_at double precision not null,
  applied_at double precision not null,
  primary key (view, generation, source, part)
);`;
