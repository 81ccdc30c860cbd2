/** Streams of events, their snapshots, and which messages of the outbox are events of a stream. */
export const eventTables = `create table waybill_event (
  position integer primary key autoincrement,
  decider text not null,
  key text not null,
  version integer not null,
  id text not null,
  type text not null,
  contract_version integer not null,
  time integer not null,
  body text not null,
  metadata text not null,
  unique (decider, key, version)
) strict;

create index waybill_event_decider on waybill_event (decider, position);

create table waybill_snapshot (
  decider text not null,
  key text not null,
  version integer not null,
  fingerprint text not null,
  body text not null,
  primary key (decider, key)
) strict, without rowid;

alter table waybill_outbox add column stream text;

create index waybill_outbox_stream on waybill_outbox (stream, key) where stream is not null and owner is not null;
`;
