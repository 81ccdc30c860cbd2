import type { DatabaseSync, StatementSync } from "node:sqlite";

const names = [
  "claim",
  "append",
  "isWaiting",
  "streams",
  "own",
  "ownOfKinds",
  "sent",
  "setAside",
  "aside",
  "retry",
  "discard",
  "state",
  "register",
  "renew",
  "takeOver",
  "forgetKept",
  "leave",
  "forget",
] as const;

export type Statements = Readonly<Record<(typeof names)[number], StatementSync>>;

const columns = "key, kind, name, header, body, not_before, not_after, stream";

const texts: Readonly<Record<(typeof names)[number], string>> = {
  claim: `insert into waybill_inbox (address, message, handled_at) values (?, ?, ?)
    on conflict (address, message) do nothing`,
  append: `insert into waybill_outbox (owner, kind, name, header, body, not_before, not_after, stored_at, stream)
    values (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  isWaiting: `select 1 from waybill_outbox where stream = ? and owner is not null limit 1`,
  streams: `select stream, key from waybill_outbox
    where stream in (select value from json_each(?)) and owner is not null order by key`,
  own: `select ${columns} from waybill_outbox
    where owner in (select id from waybill_instance where keeper = ?) order by key limit ?`,
  ownOfKinds: `select ${columns} from waybill_outbox
    where owner in (select id from waybill_instance where keeper = ?)
    and kind in (select value from json_each(?)) order by key limit ?`,
  sent: `delete from waybill_outbox where key = ?`,
  setAside: `update waybill_outbox set owner = null, reason = ?, message = ? where key = ?`,
  aside: `select ${columns}, reason, message from waybill_outbox
    where owner is null and key > ? order by key limit ?`,
  // A new key: it stands behind what waits.
  retry: `insert into waybill_outbox (owner, kind, name, header, body, not_before, not_after, stored_at, stream)
    select ?, kind, name, header, body, not_before, not_after, ?, stream from waybill_outbox
    where key = ? and owner is null`,
  discard: `delete from waybill_outbox where key = ? and owner is null`,
  state: `select (select count(*) from (select 1 from waybill_outbox where owner is not null limit ?)) as waiting,
    (select count(*) from waybill_outbox where owner is null) as aside,
    (select stored_at from waybill_outbox where owner is not null order by key limit 1) as oldest`,
  register: `insert into waybill_instance (id, keeper, until, boot) values (?1, ?1, ?2, ?3)`,
  renew: `update waybill_instance set until = ?2 where id = ?1 and keeper = ?1`,
  takeOver: `update waybill_instance set keeper = ?1 where keeper <> ?1 and keeper not in
    (select id from waybill_instance where keeper = id and until >= ?2 and boot = ?3)`,
  forgetKept: `delete from waybill_instance where keeper = ?1 and id <> ?1
    and not exists (select 1 from waybill_outbox where owner = waybill_instance.id)`,
  leave: `update waybill_instance set until = 0 where id = ?1 and keeper = ?1`,
  forget: `delete from waybill_inbox where key in
    (select key from (select key, handled_at from waybill_inbox order by key limit ?2) where handled_at < ?1)`,
};

export function prepare(db: DatabaseSync): Statements {
  return Object.fromEntries(names.map((name) => [name, db.prepare(texts[name])])) as Statements;
}
