import type { ClientBase } from "pg";
import {
  type ViewKey,
  type ViewMessage,
  type ViewPage,
  type ViewPlace,
  type ViewRow,
  type ViewRows,
  type Views,
  WaybillError,
} from "@waybill/core";
import { type Run, runningInside } from "./statements.ts";

const columns = "row.key, row.body, row.versions, row.changed_at";
const current = "waybill_view as one join waybill_view_row as row using (view, generation)";
interface StoredRow {
  readonly key: string;
  readonly body: string | null;
  readonly versions: string;
  readonly changed_at: number;
}

/** Inside a transaction. */
export function viewRows(client: ClientBase, store: string, check: () => void): ViewRows {
  const run = runningInside(client, store, check);
  return {
    claim: (message) => claim(run, message),
    load: (place) => load(run, place),
    save: async ({ view, generation }, { key, body, versions, changedAt }) => {
      const values = [view, generation, key];
      await run(
        body === undefined && versions === "{}"
          ? {
              name: "waybill-view-remove",
              text: "delete from waybill_view_row where view = $1 and generation = $2 and key = $3",
              values,
            }
          : {
              name: "waybill-view-save",
              text: `insert into waybill_view_row (view, generation, key, body, versions, changed_at) values ($1, $2, $3, $4, $5, $6)
                on conflict (view, generation, key) do update
                set body = excluded.body, versions = excluded.versions, changed_at = excluded.changed_at`,
              values: [...values, body, versions, changedAt],
            },
      );
    },
    advance: async ({ view, generation, source, partition, offset, sentAt, at }) => {
      // One that is built takes whatever it does not know, once it has begun; the record of the message says what it knows.
      const noted = await run({
        name: "waybill-view-advance",
        text: `insert into waybill_view_mark as mark (view, generation, source, part, position, applied, sent_at, applied_at)
          values ($1, $2, $3, $4, $5, 1, $6, $7) on conflict (view, generation, source, part) do update
          set position = greatest(mark.position, excluded.position), applied = mark.applied + 1,
            opens_at = case when excluded.position is null then mark.opens_at end,
            sent_at = greatest(mark.sent_at, excluded.sent_at), applied_at = excluded.applied_at
          where excluded.position is null or excluded.position < mark.opens_at or (mark.opens_at is null
            and (mark.position is null or excluded.position > mark.position or exists
              (select 1 from waybill_view as one where one.view = excluded.view and one.building = excluded.generation)))
          returning 1`,
        values: [view, generation, source, partition, offset, sentAt, at],
      });
      return noted.length === 1;
    },
    ...readsOf(run),
  };
}

async function claim(
  run: Run,
  { view, message, cause, conversation }: ViewMessage,
): Promise<readonly number[]> {
  const [found] = await run<{ live: number; generations: readonly number[] }>({
    name: "waybill-view-claim",
    text: `with live as (select generation from waybill_view where view = $1
        union all select building from waybill_view where view = $1 and building is not null),
      taken as (insert into waybill_view_message (view, generation, message, cause, conversation)
        select $1, generation, $2, $3, $4 from live on conflict do nothing returning generation)
      select (select count(*)::integer from live) as live,
        array(select generation from taken order by generation) as generations`,
    values: [view, message, cause, conversation],
  });
  if (found === undefined || found.live === 0) throw undeclared(view);
  return found.generations;
}

async function load(run: Run, { view, generation, key }: ViewPlace): Promise<ViewRow | undefined> {
  const values = [view, generation, key];
  const [row] = await run<StoredRow>({
    name: "waybill-view-load",
    text: `select ${columns} from waybill_view_row as row where view = $1 and generation = $2 and key = $3 for update`,
    values,
  });
  if (row !== undefined) return toRow(row);
  // A row in its place, so that there is something to wait for. Whoever was faster leaves its own.
  const [made] = await run<StoredRow>({
    name: "waybill-view-make",
    text: `insert into waybill_view_row as row (view, generation, key, versions, changed_at) values ($1, $2, $3, '{}', 0)
      on conflict (view, generation, key) do update set view = excluded.view returning ${columns}`,
    values,
  });
  return made === undefined || isNothing(made) ? undefined : toRow(made);
}

export function readsOf(run: Run): Pick<Views, "find" | "list"> {
  return {
    find: async ({ view, key }: ViewKey) => {
      const [row] = await run<StoredRow>({
        name: "waybill-view-find",
        text: `select ${columns} from ${current} where view = $1 and row.key = $2 and row.body is not null`,
        values: [view, key],
      });
      return row === undefined ? undefined : toRow(row);
    },
    list: async ({ view, limit, after = "" }: ViewPage) => {
      const rows = await run<StoredRow>({
        name: "waybill-view-list",
        text: `select ${columns} from ${current} where view = $1 and row.key > $2 and row.body is not null
          order by row.key limit $3`,
        values: [view, after, limit],
      });
      return rows.map(toRow);
    },
  };
}

function isNothing({ body, versions }: StoredRow): boolean {
  return body === null && versions === "{}";
}

function toRow({ key, body, versions, changed_at: changedAt }: StoredRow): ViewRow {
  return { key, body: body ?? undefined, versions, changedAt };
}

export function undeclared(view: string): WaybillError {
  return new WaybillError(
    "STATE_INVALID",
    `The view "${view}" has no entry in waybill_view, which every connect() makes. It was removed; connect again.`,
    { retryable: true },
  );
}
