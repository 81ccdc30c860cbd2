import type { Pool } from "pg";
import type { ViewProgress, ViewState, Views } from "@waybill/core";
import { type Run, running } from "./statements.ts";
import { readsOf, undeclared } from "./view-rows.ts";

/** A generation that was given up has nothing that the one which is read has not. */
const taken = `select 1 from waybill_view as one join waybill_view_message as each on each.view = one.view
  and each.generation <= one.generation where one.view = $1 and`;

interface StoredGenerations {
  readonly generation: number;
  readonly building: number | null;
  readonly building_since: number | null;
  readonly closed: string;
}

/** The client gives a bigint as text. */
interface StoredMark {
  readonly source: string;
  readonly part: number;
  readonly position: string | null;
  readonly applied: string;
  readonly sent_at: number;
  readonly applied_at: number;
}

export function views(pool: Pool, store: string): Views {
  const run = running(pool, store);
  return {
    ...readsOf(run),
    declare: async (view) => {
      await run({
        name: "waybill-view-declare",
        text: "insert into waybill_view (view, generation, last) values ($1, 1, 1) on conflict do nothing",
        values: [view],
      });
    },
    state: (view) => stateOf(run, view),
    isApplied: async (view, id, types) => {
      const found = await run({
        name: "waybill-view-is-applied",
        text: `${taken} each.message = any($3::text[]) union all ${taken} each.cause = $2
          union all ${taken} each.conversation = $2 limit 1`,
        values: [view, id, types.map((type) => `${type} ${id}`)],
      });
      return found.length > 0;
    },
    begin: (view, starts, now) => begin(run, { view, starts, now }),
    finish: async (view, generation) => {
      const finished = await run({
        name: "waybill-view-finish",
        text: `update waybill_view set generation = building, building = null, building_since = null
          where view = $1 and building = $2 returning 1`,
        values: [view, generation],
      });
      return finished.length === 1;
    },
    abandon: async (view, generation) => {
      await run({
        name: "waybill-view-abandon",
        text: "update waybill_view set building = null, building_since = null where view = $1 and building = $2",
        values: [view, generation],
      });
    },
  };
}

/** In one statement: whoever sees the generation sees where it begins. */
async function begin(
  run: Run,
  { view, starts, now }: { view: string; starts: Parameters<Views["begin"]>[1]; now: number },
): Promise<number> {
  const [begun] = await run<{ building: number }>({
    name: "waybill-view-begin",
    text: `with begun as (update waybill_view set building = last + 1, last = last + 1, building_since = $2
        where view = $1 returning building),
      started as (insert into waybill_view_mark (view, generation, source, part, opens_at, applied, sent_at, applied_at)
        select $1, begun.building, each.source, each.part, each.opens_at, 0, 0, 0
        from begun, unnest($3::text[], $4::integer[], $5::bigint[]) as each (source, part, opens_at))
      select building from begun`,
    values: [
      view,
      now,
      starts.map(({ source }) => source),
      starts.map(({ partition }) => partition),
      starts.map(({ offset }) => offset),
    ],
  });
  if (begun === undefined) throw undeclared(view);
  return begun.building;
}

interface Forgetting {
  readonly inboxMs: number;
  readonly now: number;
  readonly limit: number;
}

/** What views need not remember any more, one small step of it; true: there is more. Who is being changed at this moment is left for the next. */
export async function forgetViews(
  pool: Pool,
  store: string,
  { inboxMs, now, limit }: Forgetting,
): Promise<boolean> {
  const run = running(pool, store);
  await run({
    name: "waybill-view-forget-marks",
    text: `delete from waybill_view_mark as each using waybill_view as one where one.view = each.view
      and each.generation <> one.generation and each.generation is distinct from one.building`,
    values: [],
  });
  const steps = [
    {
      name: "waybill-view-forget-messages",
      text: `delete from waybill_view_message where ctid = any (array(select ctid from waybill_view_message
        where handled_at < clock_timestamp() - $1 * interval '1 millisecond' limit $2)) returning 1`,
      values: [inboxMs, limit],
    },
    {
      name: "waybill-view-forget-removed",
      text: `delete from waybill_view_row where (view, generation, key) in (select view, generation, key from waybill_view_row
        where body is null and changed_at < $1 order by changed_at limit $2 for update skip locked) returning 1`,
      values: [now - inboxMs, limit],
    },
    {
      name: "waybill-view-forget-rows",
      text: `delete from waybill_view_row as gone using waybill_view as one, lateral (
          (select view, generation, key from waybill_view_row as each where each.view = one.view
            and each.generation < one.generation limit $1)
          union all (select view, generation, key from waybill_view_row as each where each.view = one.view
            and each.generation > one.generation and each.generation < coalesce(one.building, one.last + 1) limit $1)) as old
        where gone.view = old.view and gone.generation = old.generation and gone.key = old.key returning 1`,
      values: [limit],
    },
  ];
  let isMore = false;
  for (const step of steps) isMore = (await run(step)).length >= limit || isMore;
  return isMore;
}

async function stateOf(run: Run, view: string): Promise<ViewState | undefined> {
  const [found] = await run<StoredGenerations>({
    name: "waybill-view-generations",
    text: `select generation, building, building_since, (select count(*) from waybill_view_mark as mark
        where mark.view = one.view and mark.generation = one.building and opens_at is not null) as closed
      from waybill_view as one where view = $1`,
    values: [view],
  });
  if (found === undefined) return undefined;
  const { generation, building, building_since: since } = found;
  const marks = await run<StoredMark>({
    name: "waybill-view-marks",
    text: `select source, part, position, applied, sent_at, applied_at from waybill_view_mark
      where view = $1 and generation = $2 and applied > 0 order by source, part`,
    values: [view, generation],
  });
  return {
    generation,
    building:
      building === null
        ? undefined
        : { generation: building, since: since ?? 0, closed: Number(found.closed) },
    progress: [...Map.groupBy(marks, ({ source }) => source)].map(([source, parts]) =>
      progressOf(source, parts),
    ),
  };
}

function progressOf(source: string, parts: readonly StoredMark[]): ViewProgress {
  return {
    source,
    applied: parts.reduce((sum, { applied }) => sum + Number(applied), 0),
    sentAt: Math.max(...parts.map(({ sent_at }) => sent_at)),
    appliedAt: Math.max(...parts.map(({ applied_at }) => applied_at)),
    offsets: parts.flatMap(({ part, position }) =>
      position === null ? [] : [{ partition: part, offset: Number(position) }],
    ),
  };
}
