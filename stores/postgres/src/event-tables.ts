/** Streams of events, their snapshots, and which messages of the outbox are events of a stream. */
export const eventTables = `create table waybill_event (
  position bigint generated always as identity primary key,
  epoch xid8 not null,
  decider text collate "C" not null,
  key text collate "C" not null,
  version bigint not null,
  id text not null,
  type text not null,
  contract_version integer not null,
  time double precision not null,
  body text not null,
  metadata text not null,
  unique (decider, key, version)
);

create index waybill_event_decider on waybill_event (decider, epoch, position);

create table waybill_snapshot (
  decider text collate "C" not null,
  key text collate "C" not null,
  version bigint not null,
  fingerprint text not null,
  body text not null,
  primary key (decider, key)
);

alter table waybill_outbox add column stream text collate "C";

create index waybill_outbox_stream on waybill_outbox (stream, key) where stream is not null and owner is not null;
`;
