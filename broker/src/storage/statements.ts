import type { DatabaseSync, StatementSync } from "node:sqlite";
import { streamTexts } from "./stream-statements.ts";

const otherTexts = {
  begin: "begin immediate",
  beginReading: "begin",
  commit: "commit",
  rollback: "rollback",
  dataVersion: "pragma data_version",
  checkpointSome: "pragma wal_checkpoint(passive)",
  checkpointAll: "pragma wal_checkpoint(restart)",
  rowsChanged: "select total_changes() as count",

  readState: "select next_seq, topology from state where id = 1",
  writeSeq: "update state set next_seq = ? where id = 1",
  addCount: `insert into book(address, type, line, count) values (?, ?, ?, ?)
    on conflict(address, type, line) do update set count = count + excluded.count`,
  bookTypes: "select distinct type from book where address = ?",
  foldBook: `insert into book(address, type, line, count) select 0, '', line, sum(count) from book where address = ? group by line
    on conflict(address, type, line) do update set count = count + excluded.count`,
  deleteBook: "delete from book where address = ?",
  allBooks: "select address, type, line, count from book",
  bookedAs:
    "select address, iif(place is null and json_valid(header), header ->> '$.type', '') as type from message where seq = ?",
  bumpTopology: "update state set topology = topology + 1 where id = 1",

  readBoot: "select boot from boot where id = 1",
  writeBoot:
    "insert into boot(id, boot) values (1, ?) on conflict(id) do update set boot = excluded.boot",

  insertMessage:
    "insert into message(seq, address, enqueued_at, discard_expired, header, body) values (?, ?, ?, ?, ?, ?)",
  insertCopy:
    "insert into message(seq, address, enqueued_at, discard_expired, header, body, place) values (?, ?, ?, 0, ?, ?, ?)",
  copyMessage: `insert into message(seq, address, enqueued_at, discard_expired, header, body, place)
    select ?, address, ?, 0, ?, ?, place from message where seq = ?`,
  rewriteMessage:
    "update message set enqueued_at = ?, discard_expired = 0, header = ?, body = ? where seq = ?",
  deleteMessage: "delete from message where seq = ?",
  renumberMessage: "update message set seq = ? where seq = ?",
  discardsExpired: "select discard_expired as discards from message where seq = ?",
  bytesOf: "select octet_length(body) as bytes from message where seq = ?",
  contentOf:
    "select m.enqueued_at, m.discard_expired, m.header, m.body, f.failure from message m left join failure f on f.seq = m.seq where m.seq = ?",

  insertReady: "insert into ready(address, seq, attempt, bytes, expires) values (?, ?, ?, ?, ?)",
  headReady:
    "select seq, bytes, expires, attempt from ready where address = ? order by seq limit ?",
  anyReady: "select 1 from ready where address = ? limit 1",
  deleteReady: "delete from ready where address = ? and seq = ?",
  deleteReadyUpTo: "delete from ready where address = ? and seq <= ?",
  expiredReady:
    "select address, seq, attempt from ready where expires <= ? order by expires limit ?",

  lockUpTo: `insert into locked(lease, seq, address, attempt, bytes, expires)
    select ?, seq, address, attempt + 1, bytes, expires from ready where address = ? and seq <= ?`,
  lockedContents: `select k.seq, m.enqueued_at, m.header, m.body, m.place, f.failure
    from locked k join message m on m.seq = k.seq left join failure f on f.seq = k.seq
    where k.lease = ? and k.seq between ? and ? and k.address = ? order by k.seq`,
  unlock: "delete from locked where lease = ? and seq = ?",
  countRun: "update locked set attempt = ? where lease = ? and seq = ?",
  isLocked: "select 1 from locked where lease = ? and seq = ?",
  heldBy: "select seq from locked where lease = ?",
  reopenLease: `insert into ready(address, seq, attempt, bytes, expires)
    select address, seq, attempt, bytes, expires from locked where lease = ?`,
  unlockLease: "delete from locked where lease = ?",
  insertLease:
    "insert into lease(address, instance, until, counts) values (?, ?, ?, ?) returning id",
  leaseUntil: "select until from lease where id = ?",
  renewLease: "update lease set until = ? where id = ?",
  deleteLease: "delete from lease where id = ?",
  expiredLeases: "select id, address from lease where until <= ? order by until limit ?",
  leasesOfInstance: "select id, address, until from lease where instance = ?",

  sessionByName:
    "select id, address, turn, lease, parked, due from session where address = ? and name = ?",
  sessionById: "select id, address, turn, lease, parked, due from session where id = ?",
  insertSession: "insert into session(address, name) values (?, ?) returning id",
  queueSession: "update session set turn = ? where id = ?",
  availableSessions:
    "select id, name from session where address = ? and turn is not null order by turn limit ?",
  anyAvailableSession:
    "select 1 from session where address = ? and turn is not null order by turn limit 1",
  holdSession: "update session set turn = null, lease = ? where id = ?",
  anyHeldOfSession: "select 1 from locked where address = ? and address < 0 limit 1",
  freeSession: "update session set turn = null, lease = null where id = ?",
  deleteIdleSession:
    "delete from session where id = ? and lease is null and parked is null and state is null",
  reopenBehind: `insert into ready(address, seq, attempt, bytes, expires)
    select address, seq, attempt - ?, bytes, expires from locked where lease = ? and address = ? and seq > ?`,
  unlockBehind: "delete from locked where lease = ? and address = ? and seq > ?",
  restSession: "update session set due = max(coalesce(due, 0), ?) where id = ?",
  dueSessions: "select id from session where due <= ? order by due limit ?",
  wakeSession: "update session set due = null where id = ?",
  parkSession: "update session set parked = ? where id = ?",
  noteParked: "insert into parked(seq, session) values (?, ?)",
  forgetParked: "delete from parked where seq = ? returning session as id",
  forgetAllParked: "delete from parked where session = ?",
  unparkSession:
    "update session set parked = (select seq from parked where session = ?1 limit 1) where id = ?1",
  sessionsOfLease: "select id from session where lease = ?",
  readSession: "select state from session where id = ? and lease = ?",
  writeState: "update session set state = ? where id = ?",
  keyOf: "select header ->> '$.partitionkey' as key from message where seq = ?",
  sessionsIn: "select id from session where address = ? limit ?",
  deleteSession: "delete from session where id = ?",

  insertScheduled:
    "insert into scheduled(due, seq, address, attempt, bytes, expires, id) values (?, ?, ?, ?, ?, ?, ?)",
  dueScheduled:
    "select due, seq, address, attempt, bytes, expires, id from scheduled where due <= ? order by due, seq limit ?",
  deleteScheduled: "delete from scheduled where due = ? and seq = ?",
  takeScheduled: "delete from scheduled where address = ? and seq = ?",
  scheduledAs: "select seq from scheduled where id = ? limit ?",
  scheduledAsAt: "select seq from scheduled where id = ? and address = ? limit ?",
  expiredScheduled:
    "select due, seq, address, attempt from scheduled where expires <= ? order by expires limit ?",

  insertDead: "insert into dead(seq, address, attempt) values (?, ?, ?)",
  keepDead: "insert into dead(seq, address, attempt, origin) values (?, ?, ?, ?)",
  moveMessage: "update message set address = ? where seq = ?",
  deadOf: "select address, attempt, origin from dead where seq = ?",
  deleteDead: "delete from dead where seq = ?",
  deadBeyond: "select seq from dead where address = ? order by seq desc limit 1 offset ?",
  deadUpTo: "select seq from dead where address = ? and seq <= ? order by seq limit ?",
  insertDeferred: "insert into deferred(seq, address, attempt) values (?, ?, ?)",
  deferredOf: "select address, attempt, null as origin from deferred where seq = ?",
  deleteDeferred: "delete from deferred where seq = ?",
  hasMessage: "select 1 from message where seq = ?",
  putFailure:
    "insert into failure(seq, failure) values (?, ?) on conflict(seq) do update set failure = excluded.failure",
  deleteFailure: "delete from failure where seq = ?",
  noteDiscarded: "insert into discarded(seq) values (?) on conflict(seq) do nothing",
  forgetDiscarded: "delete from discarded where place <= (select max(place) from discarded) - ?",
  wasDiscarded: "select 1 from discarded where seq = ?",

  allAddresses:
    "select id, kind, name, topic, accepts, dedup_ms, sessions, paused_at, paused_reason, instance, forward_to, dead_letters_to from address where removed = 0",
  insertAddress:
    "insert into address(kind, name, topic, accepts, instance) values (?, ?, ?, ?, ?) returning id",
  addressByName:
    "select id, accepts, instance, removed, dedup_ms, sessions from address where kind = ? and name = ?",
  updateDedup: "update address set dedup_ms = ? where id = ?",
  remember: `insert into remembered(address, key, until) values (?, ?, ?)
    on conflict(address, key) do update set until = excluded.until where until <= ?`,
  overRemembered: "select address, key from remembered where until <= ? order by until limit ?",
  forget: "delete from remembered where address = ? and key = ?",
  updateAccepts: "update address set accepts = ? where id = ?",
  keepSessions: "update address set sessions = 1 where id = ?",
  forwardAddress: "update address set forward_to = ? where id = ? and forward_to is not ?",
  forwardDeadLetters:
    "update address set dead_letters_to = ? where id = ? and dead_letters_to is not ?",
  pauseAddress:
    "update address set paused_at = coalesce(paused_at, ?), paused_reason = ? where id = ?",
  resumeAddress:
    "update address set paused_at = null, paused_reason = null where id = ? and paused_at is not null",
  removeAddress:
    "update address set removed = 1, instance = null, name = name || '#' || id where id = ?",
  removedAddresses: "select id from address where removed = 1",
  removedAddress: "select id from address where removed = 1 limit 1",
  deleteAddress: "delete from address where id = ?",
  addressesOfInstance: "select id from address where instance = ?",
  waitingOf: "select seq from ready where address = ? limit ?",
  scheduledOf: "select due, seq from scheduled where address = ? limit ?",
  deferredIn: "select seq from deferred where address = ? limit ?",
  deadIn: "select seq from dead where address = ? limit ?",

  insertInstance: "insert into instance(name, until) values (?, ?) returning id",
  allLeases: "select id, address from lease",
  allInstances: "select id from instance",
  beat: "update instance set until = ? where id = ?",
  deadInstances: "select id from instance where until <= ?",
  takeAddress: "update address set instance = ? where id = ?",
  deleteInstance: "delete from instance where id = ?",
  ownersOf:
    "select o.instance, o.service, o.place, i.until from owner o left join instance i on i.id = o.instance where o.address = ?",
  putOwner: `insert into owner(address, instance, service, place) values (?, ?, ?, ?)
    on conflict(address, instance, service) do update set place = excluded.place`,
  deleteOwnersOfInstance: "delete from owner where instance = ?",

  countReady: "select count(*) as count from ready where address = ?",
  countReadySessions:
    "select count(*) as count from session s join ready r on r.address = -s.id where s.address = ?",
  countLocked:
    "select count(*) as count from lease l join locked k on k.lease = l.id where l.address = ?",
  countScheduled: "select count(*) as count from scheduled where address = ?",
  countDeferred: "select count(*) as count from deferred where address = ?",
  countDead: "select count(*) as count from dead where address = ?",
  countLockedRemoved: `select count(*) as count from lease l cross join locked k on k.lease = l.id
    where not exists (select 1 from address a where a.id = l.address and a.removed = 0)`,
  countItems:
    "select count(*) as count from (select 1 from stream_item where place >= ? and place < ? limit ?)",
  typesReady:
    "select iif(json_valid(m.header), m.header ->> '$.type', '') as type, count(*) as count from ready r join message m on m.seq = r.seq where r.address = ? group by 1",
  typesReadySessions:
    "select iif(json_valid(m.header), m.header ->> '$.type', '') as type, count(*) as count from session s join ready r on r.address = -s.id join message m on m.seq = r.seq where s.address = ? group by 1",
  typesLocked:
    "select iif(json_valid(m.header), m.header ->> '$.type', '') as type, count(*) as count from lease l join locked k on k.lease = l.id join message m on m.seq = k.seq where l.address = ? group by 1",
  typesScheduled:
    "select iif(json_valid(m.header), m.header ->> '$.type', '') as type, count(*) as count from scheduled r join message m on m.seq = r.seq where r.address = ? group by 1",
  typesDeferred:
    "select iif(json_valid(m.header), m.header ->> '$.type', '') as type, count(*) as count from deferred r join message m on m.seq = r.seq where r.address = ? group by 1",
  typesDead:
    "select iif(json_valid(m.header), m.header ->> '$.type', '') as type, count(*) as count from dead r join message m on m.seq = r.seq where r.address = ? group by 1",
  oldestWaiting: `select enqueued_at as at from message where seq = (select min(seq) from (
    select min(seq) as seq from ready where address = ?1
    union all select min((select min(r.seq) from ready r where r.address = -s.id)) from session s where s.address = ?1
    union all select min(k.seq) from lease l join locked k on k.lease = l.id where l.address = ?1))`,
  countReceivers:
    "select count(*) as count from lease l join instance i on i.id = l.instance where l.address = ? and l.counts = 1 and i.until > ?",
  oldestReady:
    "select m.enqueued_at as at from ready r join message m on m.seq = r.seq where r.address = ? order by r.seq limit 1",
  oldestReadySessions:
    "select min(m.enqueued_at) as at from session s join ready r on r.address = -s.id join message m on m.seq = r.seq where s.address = ?",
  groupProgress: `select sum(p.next_offset) as ends, sum(p.next_offset - max(c.committed, p.first_offset)) as pending,
    sum(iif(c.lease is null, 0, max(0, c.delivered - max(c.committed, p.first_offset)))) as begun
    from stream_cursor c join stream_partition p on p.id = c.partition where c.address = ?`,
  groupOldest: `select min(i.enqueued_at) as oldest from stream_cursor c join stream_partition p on p.id = c.partition
    join stream_item i on i.place = (c.partition << 36) + max(c.committed, p.first_offset) where c.address = ?`,
  listReady: "select seq, attempt from ready where address = ? and seq > ? order by seq limit ?",
  listReadySessions:
    "select r.seq, r.attempt from session s join ready r on r.address = -s.id where s.address = ? and r.seq > ? order by r.seq limit ?",
  listLocked:
    "select k.seq, k.attempt from lease l join locked k on k.lease = l.id where l.address = ? and k.seq > ? order by k.seq limit ?",
  listScheduled:
    "select seq, attempt from scheduled where address = ? and seq > ? order by seq limit ?",
  listDeferred:
    "select seq, attempt from deferred where address = ? and seq > ? order by seq limit ?",
  listDead:
    "select seq, attempt, origin from dead where address = ? and seq > ? order by seq limit ?",
  listItems:
    "select place, enqueued_at, header, body from stream_item where place >= ? and place < ? order by place limit ?",

  /** Five moments of the wall clock, two of the clock of locks, and whether anything was removed. */
  nextDue: `select (select min(due) from scheduled), (select min(expires) from ready where expires is not null),
    (select min(expires) from scheduled where expires is not null), (select min(until) from remembered) + 60000,
    (select min(due) from session where due is not null),
    (select min(until) from lease where until is not null),
    (select min(max(i.until, ifnull((select max(l.until) from lease l where l.instance = i.id), 0))) from instance i),
    (select 0 from address where removed = 1 limit 1)`,
} as const;

export type StatementName = keyof typeof otherTexts | keyof typeof streamTexts;
/** Every statement that runs more than once, by what it does. Prepared once per connection. */
const texts: Readonly<Record<StatementName, string>> = { ...otherTexts, ...streamTexts };

export type Statements = { readonly [Name in StatementName]: StatementSync };

/** Rows that are read by the thousand come as arrays; naming their columns costs more than reading them. */
const asArrays: readonly StatementName[] = [
  "readState",
  "headReady",
  "lockedContents",
  "headItems",
  "itemContents",
  "nextDue",
  "dataVersion",
];

export function prepareStatements(db: DatabaseSync): Statements {
  const statements: Partial<Record<StatementName, StatementSync>> = {};
  for (const name of Object.keys(texts) as StatementName[])
    statements[name] = db.prepare(texts[name]);
  for (const name of asArrays) statements[name]?.setReturnArrays(true);
  return statements as Statements;
}

/** For the test that holds every query plan against the promise that nothing scans what waits. */
export function statementTexts(): Readonly<Record<string, string>> {
  return texts;
}
