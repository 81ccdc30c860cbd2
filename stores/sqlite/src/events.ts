import type { DatabaseSync, StatementSync } from "node:sqlite";
import {
  type EventRow,
  type EventRows,
  type Events,
  type LoadOptions,
  type ReplayPage,
  type Replayed,
  type ReplayedRow,
  type SnapshotRow,
  type StreamKey,
  type StreamRows,
  WaybillError,
} from "@waybill/core";

const columns = "decider, key, version, id, type, contract_version, time, body, metadata";

const names = [
  "read",
  "snapshot",
  "append",
  "keep",
  "forget",
  "drop",
  "version",
  "replay",
  "last",
] as const;

const texts: Readonly<Record<(typeof names)[number], string>> = {
  read: `select ${columns} from waybill_event where decider = ? and key = ? and version > ? order by version limit ?`,
  snapshot: `select decider, key, version, fingerprint, body from waybill_snapshot
    where decider = ? and key = ? and fingerprint = ?`,
  // The version before its own stands there, or it is the first.
  append: `insert into waybill_event (${columns}) select ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9
    where ?3 = 1 or exists (select 1 from waybill_event where decider = ?1 and key = ?2 and version = ?3 - 1)
    on conflict (decider, key, version) do nothing`,
  keep: `insert into waybill_snapshot (decider, key, version, fingerprint, body) values (?, ?, ?, ?, ?)
    on conflict (decider, key) do update set version = excluded.version, fingerprint = excluded.fingerprint, body = excluded.body`,
  forget: `delete from waybill_event where decider = ? and key = ? and version < ?`,
  drop: `delete from waybill_snapshot where decider = ? and key = ?`,
  version: `select max(version) as version from waybill_event where decider = ? and key = ?`,
  replay: `select ${columns}, position from waybill_event
    where decider = ? and position > ? and position <= ? order by position limit ?`,
  last: `select max(position) as position from waybill_event where decider = ?`,
};

export type EventStatements = Readonly<Record<(typeof names)[number], StatementSync>>;

export function prepareEvents(db: DatabaseSync): EventStatements {
  return Object.fromEntries(
    names.map((name) => [name, db.prepare(texts[name])]),
  ) as EventStatements;
}

interface StoredEvent {
  readonly decider: string;
  readonly key: string;
  readonly version: number;
  readonly id: string;
  readonly type: string;
  readonly contract_version: number;
  readonly time: number;
  readonly body: string;
  readonly metadata: string;
}

/** Inside a transaction. SQLite has one writer, so nothing needs a lock. */
export function eventRows(
  sql: EventStatements,
  guarded: <Result>(act: () => Result) => Result,
): EventRows {
  return {
    load: (key, options) => guarded(() => load(sql, key, options)),
    read: (key, page) => guarded(() => read(sql, key, page)),
    last: ({ decider, key }) =>
      guarded(() => Number(sql.version.get(decider, key)?.["version"] ?? 0)),
    append: (rows) =>
      guarded(() => {
        // Who could write the first has the versions behind it too.
        for (const [index, row] of rows.entries())
          if (!append(sql, row)) {
            if (index === 0) return false;
            throw new Error(
              `version ${row.version} of "${row.key}" stood before the one before it`,
            );
          }
        return true;
      }),
    keep: ({ decider, key, version, fingerprint, body }) =>
      guarded(() => void sql.keep.run(decider, key, version, fingerprint, body)),
    forget: ({ decider, key }, before) =>
      guarded(() => {
        sql.forget.run(decider, key, before);
        sql.drop.run(decider, key);
      }),
  };
}

type Reading = <Result>(act: (sql: EventStatements) => Result) => Promise<Result>;

export function events(reading: Reading): Events {
  return {
    load: (key, options) => reading((sql) => load(sql, key, options)),
    read: (key, page) => reading((sql) => read(sql, key, page)),
    replay: async (page) => {
      const after = placeOf(page.after ?? "0");
      return reading((sql) => replay(sql, page, after));
    },
  };
}

function load(
  sql: EventStatements,
  stream: StreamKey,
  { fingerprint, limit }: Pick<LoadOptions, "fingerprint" | "limit">,
): StreamRows {
  const { decider, key } = stream;
  const snapshot = sql.snapshot.get(decider, key, fingerprint) as unknown as
    | SnapshotRow
    | undefined;
  return {
    snapshot: snapshot === undefined ? undefined : { ...snapshot },
    events: read(sql, stream, { after: snapshot?.version ?? 0, limit }),
  };
}

function read(
  sql: EventStatements,
  { decider, key }: StreamKey,
  { after, limit }: { readonly after: number; readonly limit: number },
): readonly EventRow[] {
  return (sql.read.all(decider, key, after, limit) as unknown as StoredEvent[]).map(toRow);
}

function append(sql: EventStatements, row: EventRow): boolean {
  const { decider, key, version, id, type, contractVersion, time, body, metadata } = row;
  const values = [decider, key, version, id, type, contractVersion, time, body, metadata];
  return sql.append.run(...values).changes === 1;
}

/** One writes after the other, so that the order of positions is that of commits. */
function replay(
  sql: EventStatements,
  { decider, until, limit }: ReplayPage,
  after: number,
): Replayed {
  const last = until === undefined ? lastOf(sql, decider) : placeOf(until);
  const rows = sql.replay.all(decider, after, last, limit) as unknown as (StoredEvent & {
    readonly position: number;
  })[];
  return {
    rows: rows.map((row): ReplayedRow => ({ ...toRow(row), position: String(row.position) })),
    until: String(last),
    isComplete: rows.length < limit,
  };
}

function lastOf({ last }: EventStatements, decider: string): number {
  return Number(last.get(decider)?.["position"] ?? 0);
}

function placeOf(position: string): number {
  const place = /^\d{1,15}$/.test(position) ? Number(position) : Number.NaN;
  if (Number.isSafeInteger(place)) return place;
  throw new WaybillError(
    "OPTION_INVALID",
    `"${position.slice(0, 100)}" is no position of this store; give one that it has answered.`,
  );
}

function toRow(row: StoredEvent): EventRow {
  const { decider, key, version, id, type, time, body, metadata } = row;
  const contractVersion = row.contract_version;
  return { decider, key, version, id, type, contractVersion, time, body, metadata };
}
