import type { DatabaseSync, StatementSync } from "node:sqlite";
import {
  type ViewKey,
  type ViewPage,
  type ViewProgress,
  type ViewRow,
  type ViewRows,
  type ViewState,
  type Views,
  WaybillError,
} from "@waybill/core";

const columns = "row.key, row.body, row.versions, row.changed_at";
/** A generation that was given up has nothing that the one which is read has not. */
const taken = `select 1 from waybill_view as one join waybill_view_message as each on each.view = one.view
    and each.generation <= one.generation where one.view = ?1 and`;
const read = "waybill_view as one join waybill_view_row as row using (view, generation)";

const names = [
  "generations",
  "claim",
  "load",
  "save",
  "remove",
  "advance",
  "find",
  "list",
  "declare",
  "marks",
  "isApplied",
  "closed",
  "begin",
  "start",
  "finish",
  "abandon",
  "forgetMessages",
  "forgetRemoved",
  "forgetRows",
  "forgetMarks",
] as const;

const texts: Readonly<Record<(typeof names)[number], string>> = {
  generations: `select generation, building, building_since from waybill_view where view = ?`,
  claim: `insert into waybill_view_message (view, generation, message, cause, conversation, handled_at)
    values (?, ?, ?, ?, ?, ?) on conflict (view, message, generation) do nothing`,
  load: `select ${columns} from waybill_view_row as row where view = ? and generation = ? and key = ?`,
  save: `insert into waybill_view_row (view, generation, key, body, versions, changed_at) values (?, ?, ?, ?, ?, ?)
    on conflict (view, generation, key) do update
    set body = excluded.body, versions = excluded.versions, changed_at = excluded.changed_at`,
  remove: `delete from waybill_view_row where view = ? and generation = ? and key = ?`,
  // One that is built takes whatever it does not know, once it has begun; the record of the message says what it knows.
  advance: `insert into waybill_view_mark (view, generation, source, part, position, applied, sent_at, applied_at)
    values (?, ?, ?, ?, ?, 1, ?, ?) on conflict (view, generation, source, part) do update
    set position = max(coalesce(excluded.position, position), coalesce(position, excluded.position)), applied = applied + 1,
      opens_at = case when excluded.position is null then opens_at end,
      sent_at = max(sent_at, excluded.sent_at), applied_at = excluded.applied_at
    where excluded.position is null or excluded.position < opens_at or (opens_at is null
      and (position is null or excluded.position > position or exists
        (select 1 from waybill_view as one where one.view = excluded.view and one.building = excluded.generation)))`,
  find: `select ${columns} from ${read} where view = ? and row.key = ? and row.body is not null`,
  list: `select ${columns} from ${read} where view = ? and row.key > ? and row.body is not null order by row.key limit ?`,
  declare: `insert into waybill_view (view, generation, last) values (?, 1, 1) on conflict (view) do nothing`,
  marks: `select source, part, position, applied, sent_at, applied_at from waybill_view_mark
    where view = ? and generation = ? order by source, part`,
  isApplied: `${taken} each.message in (select value from json_each(?3)) union all ${taken} each.cause = ?2
    union all ${taken} each.conversation = ?2 limit 1`,
  closed: `select count(*) as count from waybill_view_mark where view = ? and generation = ? and opens_at is not null`,
  begin: `update waybill_view set building = last + 1, last = last + 1, building_since = ? where view = ? returning building`,
  start: `insert into waybill_view_mark (view, generation, source, part, opens_at, applied, sent_at, applied_at)
    values (?, ?, ?, ?, ?, 0, 0, 0)`,
  finish: `update waybill_view set generation = building, building = null, building_since = null
    where view = ? and building = ?`,
  abandon: `update waybill_view set building = null, building_since = null where view = ? and building = ?`,
  forgetMessages: `delete from waybill_view_message where key in
    (select key from (select key, handled_at from waybill_view_message order by key limit ?2) where handled_at < ?1)`,
  forgetRemoved: `delete from waybill_view_row where (view, generation, key) in
    (select view, generation, key from waybill_view_row where body is null and changed_at < ?1 order by changed_at limit ?2)`,
  // By ranges of the key, so that it costs nothing where nothing is gone.
  forgetRows: `delete from waybill_view_row where (view, generation, key) in
    (select each.view, each.generation, each.key from waybill_view as one cross join waybill_view_row as each
      where each.view = one.view and each.generation < one.generation
    union all select each.view, each.generation, each.key from waybill_view as one cross join waybill_view_row as each
      where each.view = one.view and each.generation > one.generation
      and each.generation < coalesce(one.building, one.last + 1) limit ?)`,
  forgetMarks: `delete from waybill_view_mark as each where exists (select 1 from waybill_view as one
    where one.view = each.view and each.generation <> one.generation and each.generation is not one.building)`,
};

export type ViewStatements = Readonly<Record<(typeof names)[number], StatementSync>>;

export function prepareViews(db: DatabaseSync): ViewStatements {
  return Object.fromEntries(names.map((name) => [name, db.prepare(texts[name])])) as ViewStatements;
}

interface StoredRow {
  readonly key: string;
  readonly body: string | null;
  readonly versions: string;
  readonly changed_at: number;
}

interface StoredGenerations {
  readonly generation: number;
  readonly building: number | null;
  readonly building_since: number | null;
}

interface StoredMark {
  readonly source: string;
  readonly part: number;
  readonly position: number | null;
  readonly applied: number;
  readonly sent_at: number;
  readonly applied_at: number;
}

type Guarded = <Result>(act: () => Result) => Result;

/** Inside a transaction. SQLite has one writer, so nothing needs a lock. */
export function viewRows(sql: ViewStatements, now: number, guarded: Guarded): ViewRows {
  return {
    claim: ({ view, message, cause, conversation }) =>
      guarded(() => {
        const found = sql.generations.get(view) as unknown as StoredGenerations | undefined;
        if (found === undefined) throw undeclared(view);
        const all = [found.generation, found.building].filter((each) => each !== null);
        return all.filter(
          (each) =>
            sql.claim.run(view, each, message, cause ?? null, conversation ?? null, now).changes ===
            1,
        );
      }),
    load: ({ view, generation, key }) =>
      guarded(() => toRow(sql.load.get(view, generation, key) as unknown as StoredRow | undefined)),
    save: ({ view, generation }, { key, body, versions, changedAt }) =>
      guarded(() => {
        if (body === undefined && versions === "{}") sql.remove.run(view, generation, key);
        else sql.save.run(view, generation, key, body ?? null, versions, Math.floor(changedAt));
      }),
    advance: ({ view, generation, source, partition, offset, sentAt, at }) =>
      guarded(() => {
        const times = [Math.floor(sentAt), Math.floor(at)];
        const { changes } = sql.advance.run(
          view,
          generation,
          source,
          partition,
          offset ?? null,
          ...times,
        );
        return changes === 1;
      }),
    find: (key) => guarded(() => find(sql, key)),
    list: (page) => guarded(() => list(sql, page)),
  };
}

interface ViewsParts {
  readonly write: <Result>(act: (sql: ViewStatements) => Result) => Promise<Result>;
  readonly read: <Result>(act: (sql: ViewStatements) => Result) => Promise<Result>;
}

export function views({ write, read: reading }: ViewsParts): Views {
  return {
    find: (key) => reading((sql) => find(sql, key)),
    list: (page) => reading((sql) => list(sql, page)),
    declare: (view) => write(({ declare }) => void declare.run(view)),
    state: (view) => reading((sql) => stateOf(sql, view)),
    isApplied: (view, id, types) =>
      reading(({ isApplied }) => {
        const messages = JSON.stringify(types.map((type) => `${type} ${id}`));
        return isApplied.get(view, id, messages) !== undefined;
      }),
    begin: (view, starts, now) =>
      write(({ begin, start }) => {
        const found = begin.get(Math.floor(now), view);
        if (found === undefined) throw undeclared(view);
        const building = Number(found["building"]);
        for (const { source, partition, offset } of starts)
          start.run(view, building, source, partition, offset);
        return building;
      }),
    finish: (view, generation) => write(({ finish }) => finish.run(view, generation).changes === 1),
    abandon: (view, generation) => write(({ abandon }) => void abandon.run(view, generation)),
  };
}

/** One small step; true: there is more. */
export function forgetViews(
  sql: ViewStatements,
  { before, limit }: { readonly before: number; readonly limit: number },
): boolean {
  sql.forgetMarks.run();
  const forgotten = [
    sql.forgetMessages.run(before, limit).changes,
    sql.forgetRemoved.run(before, limit).changes,
    sql.forgetRows.run(limit).changes,
  ];
  return forgotten.some((count) => Number(count) >= limit);
}

function find(sql: ViewStatements, { view, key }: ViewKey): ViewRow | undefined {
  return toRow(sql.find.get(view, key) as unknown as StoredRow | undefined);
}

function list(sql: ViewStatements, { view, limit, after = "" }: ViewPage): readonly ViewRow[] {
  const rows = sql.list.all(view, after, limit) as unknown as StoredRow[];
  return rows.flatMap((row) => toRow(row) ?? []);
}

function stateOf(sql: ViewStatements, view: string): ViewState | undefined {
  const found = sql.generations.get(view) as unknown as StoredGenerations | undefined;
  if (found === undefined) return undefined;
  const { generation, building, building_since: since } = found;
  const marks = sql.marks.all(view, generation) as unknown as StoredMark[];
  return {
    generation,
    building:
      building === null
        ? undefined
        : {
            generation: building,
            since: since ?? 0,
            closed: Number(sql.closed.get(view, building)?.["count"] ?? 0),
          },
    progress: [...Map.groupBy(marks, ({ source }) => source)].flatMap(([source, parts]) =>
      progressOf(source, parts),
    ),
  };
}

function progressOf(source: string, parts: readonly StoredMark[]): ViewProgress | [] {
  const marks = parts.filter(({ applied }) => applied > 0);
  if (marks.length === 0) return [];
  return {
    source,
    applied: marks.reduce((sum, { applied }) => sum + applied, 0),
    sentAt: Math.max(...marks.map(({ sent_at }) => sent_at)),
    appliedAt: Math.max(...marks.map(({ applied_at }) => applied_at)),
    offsets: marks.flatMap(({ part, position }) =>
      position === null ? [] : [{ partition: part, offset: position }],
    ),
  };
}

function toRow(row: StoredRow | undefined): ViewRow | undefined {
  if (row === undefined) return undefined;
  const { key, body, versions, changed_at: changedAt } = row;
  return { key, body: body ?? undefined, versions, changedAt };
}

function undeclared(view: string): WaybillError {
  return new WaybillError(
    "STATE_INVALID",
    `The view "${view}" has no entry in waybill_view, which every connect() makes. It was removed; connect again.`,
    { retryable: true },
  );
}
