import type { ClientBase, Pool } from "pg";
import {
  type EventRow,
  type EventRows,
  type Events,
  type LoadOptions,
  type ReplayPage,
  type Replayed,
  type ReplayedRow,
  type StreamKey,
  type StreamPage,
  type StreamRows,
  WaybillError,
} from "@waybill/core";
import { type Run, type Statement, running, runningInside } from "./statements.ts";

const columns = "decider, key, version, id, type, contract_version, time, body, metadata";

/** The same number for everybody who appends to a stream. Two streams that share one wait for each other in vain, and no more. */
const lockOf = `hashtextextended('waybill ' || $1::text || ' ' || $2::text, 0)`;

/** `version` is a bigint, which the client gives as text. */
interface StoredEvent {
  readonly decider: string;
  readonly key: string;
  readonly version: string;
  readonly id: string;
  readonly type: string;
  readonly contract_version: number;
  readonly time: number;
  readonly body: string;
  readonly metadata: string;
}

interface LoadedRow extends StoredEvent {
  /** It is the snapshot, whose fingerprint stands in `type`. */
  readonly is_snapshot: boolean;
}

/** Both in one statement, so that one sees what the other sees. */
const load = `with snapshot as (select * from waybill_snapshot where decider = $1 and key = $2 and fingerprint = $3)
  select true as is_snapshot, decider, key, version, '' as id, fingerprint as type, 0 as contract_version, 0 as time, body, '' as metadata
    from snapshot
  union all select false, rows.* from (select ${columns} from waybill_event
    where decider = $1 and key = $2 and version > coalesce((select version from snapshot), 0)
    order by version limit $4) as rows
  order by is_snapshot desc, version`;

const read = `select ${columns} from waybill_event where decider = $1 and key = $2 and version > $3 order by version limit $4`;

/**
 * The first row goes behind the version before its own, which gives it an epoch that is not below its own: whoever began earlier may commit later,
 * and a stream stands in its order also in the order of epochs. The others follow where the first could be written. Who has the lock of the stream
 * is not overtaken.
 */
const append = `with earlier as (
    select epoch from waybill_event where decider = $1 and key = $2 and version = $3::bigint - 1
  ), present as (
    select greatest(pg_current_xact_id(), (select epoch from earlier)) as epoch
    where ($3::bigint = 1 or exists (select 1 from earlier)) and pg_try_advisory_xact_lock(${lockOf})
  ), given as (
    select * from unnest($4::text[], $5::text[], $6::int[], $7::float8[], $8::text[], $9::text[])
      with ordinality as given (id, type, contract_version, time, body, metadata, place)
  ), first as (
    insert into waybill_event (epoch, ${columns})
      select present.epoch, $1, $2, $3::bigint, id, type, contract_version, time, body, metadata from given, present where place = 1
      on conflict do nothing returning epoch
  ), others as (
    insert into waybill_event (epoch, ${columns})
      select first.epoch, $1, $2, $3::bigint + place - 1, id, type, contract_version, time, body, metadata from given, first
      where place > 1 order by place
  )
  select 1 from first`;

const keep = `insert into waybill_snapshot (decider, key, version, fingerprint, body) values ($1, $2, $3, $4, $5)
  on conflict (decider, key) do update set version = excluded.version, fingerprint = excluded.fingerprint, body = excluded.body`;

/** Inside a transaction. `check` throws when there is no transaction any more: what is written then would be stored alone. */
export function eventRows(client: ClientBase, store: string, check: () => void): EventRows {
  const run = runningInside(client, store, check);
  const lock = async ({ decider, key }: StreamKey): Promise<void> => {
    await run({
      name: "waybill-stream-lock",
      text: `select pg_advisory_xact_lock(${lockOf})`,
      values: [decider, key],
    });
  };
  return {
    load: async (key, options) => {
      if (options.lock === true) await lock(key);
      return toStream(await run<LoadedRow>(loading(key, options)));
    },
    read: async (key, page) => (await run<StoredEvent>(reading(key, page))).map(toRow),
    last: async (key, options) => {
      if (options.lock === true) await lock(key);
      const [row] = await run<{ readonly version: string | null }>({
        name: "waybill-event-last",
        text: "select max(version) as version from waybill_event where decider = $1 and key = $2",
        values: [key.decider, key.key],
      });
      return Number(row?.version ?? 0);
    },
    append: async (rows) => {
      const [first] = rows;
      return first === undefined || (await run(appending(first, rows))).length === 1;
    },
    keep: async ({ decider, key, version, fingerprint, body }) => {
      const values = [decider, key, version, fingerprint, body];
      await run({ name: "waybill-snapshot-keep", text: keep, values });
    },
    forget: async ({ decider, key }, before) => {
      await run({
        name: "waybill-event-forget",
        text: `delete from waybill_event where decider = $1 and key = $2 and version < $3`,
        values: [decider, key, before],
      });
      await run({
        name: "waybill-snapshot-drop",
        text: `delete from waybill_snapshot where decider = $1 and key = $2`,
        values: [decider, key],
      });
    },
  };
}

export function events(pool: Pool, store: string): Events {
  const run = running(pool, store);
  return {
    load: async (key, options) => toStream(await run<LoadedRow>(loading(key, options))),
    read: async (key, page) => (await run<StoredEvent>(reading(key, page))).map(toRow),
    replay: (page) => replay(run, page),
  };
}

interface ReplayedEvent extends StoredEvent {
  readonly position: string;
  readonly epoch: string;
}

interface Horizon {
  /** Below it every transaction has ended. */
  readonly settled: string;
  /** From it on none had begun. */
  readonly next: string;
  /** Somebody has brought the rows from another server. */
  readonly is_foreign: boolean;
}

/**
 * Numbers from a sequence are committed out of order, and some never: who reads behind the last one that it has seen skips what an open transaction
 * has yet to commit. So only those are read below whose epoch no transaction is open.
 */
async function replay(
  run: Run,
  { decider, after = "0.0", until, limit }: ReplayPage,
): Promise<Replayed> {
  const [epoch = "", position = ""] = placeOf(after);
  // Looked at before the rows are read: what settles meanwhile is read the next time.
  const [horizon] = await run<Horizon>({
    name: "waybill-event-horizon",
    text: `select pg_snapshot_xmin(now)::text as settled, pg_snapshot_xmax(now)::text as next,
      exists (select 1 from waybill_event where decider = $1 and epoch >= pg_snapshot_xmax(now)) as is_foreign
      from pg_current_snapshot() as now`,
    values: [decider],
  });
  const { settled = "0", next = "0", is_foreign: isForeign = false } = horizon ?? {};
  if (isForeign)
    throw new WaybillError(
      "STORAGE_INVALID",
      "The events come from another server, whose transactions had higher numbers, so that their order is not known here. Run once, while nothing appends: update waybill_event set epoch = '0'. Then rebuild what was made from positions.",
    );
  const end = until === undefined ? next : (placeOf(`${until}.0`)[0] as string);
  const isSettled = BigInt(settled) >= BigInt(end);
  const rows = await run<ReplayedEvent>({
    name: "waybill-event-replay",
    text: `select ${columns}, position::text, epoch::text from waybill_event
      where decider = $1 and (epoch, position) > ($2::xid8, $3::bigint) and epoch < $4::xid8
      order by epoch, position limit $5`,
    values: [decider, epoch, position, isSettled ? end : settled, limit],
  });
  return {
    rows: rows.map((row): ReplayedRow => ({
      ...toRow(row),
      position: `${row.epoch}.${row.position}`,
    })),
    until: end,
    isComplete: isSettled && rows.length < limit,
  };
}

function placeOf(position: string): readonly string[] {
  if (/^\d{1,18}\.\d{1,18}$/.test(position)) return position.split(".");
  throw new WaybillError(
    "OPTION_INVALID",
    `"${position.slice(0, 100)}" is no position of this store; give one that it has answered.`,
  );
}

function loading(
  { decider, key }: StreamKey,
  { fingerprint, limit }: Pick<LoadOptions, "fingerprint" | "limit">,
): Statement {
  return { name: "waybill-event-load", text: load, values: [decider, key, fingerprint, limit] };
}

function appending({ decider, key, version }: EventRow, rows: readonly EventRow[]): Statement {
  const columnOf = (of: (row: EventRow) => unknown): readonly unknown[] => rows.map(of);
  const values = [
    decider,
    key,
    version,
    columnOf(({ id }) => id),
    columnOf(({ type }) => type),
    columnOf(({ contractVersion }) => contractVersion),
    columnOf(({ time }) => time),
    columnOf(({ body }) => body),
    columnOf(({ metadata }) => metadata),
  ];
  return { name: "waybill-event-append", text: append, values };
}

function reading({ decider, key }: StreamKey, { after, limit }: StreamPage): Statement {
  return { name: "waybill-event-read", text: read, values: [decider, key, after, limit] };
}

function toStream(rows: readonly LoadedRow[]): StreamRows {
  const snapshot = rows.find((row) => row.is_snapshot);
  const list = rows.filter((row) => !row.is_snapshot).map(toRow);
  if (snapshot === undefined) return { snapshot: undefined, events: list };
  const { decider, key, version, type: fingerprint, body } = snapshot;
  return { snapshot: { decider, key, version: Number(version), fingerprint, body }, events: list };
}

function toRow(row: StoredEvent): EventRow {
  const { decider, key, id, type, time, body, metadata } = row;
  const [version, contractVersion] = [Number(row.version), row.contract_version];
  return { decider, key, version, id, type, contractVersion, time, body, metadata };
}
