import { setTimeout as sleep } from "node:timers/promises";
import { Actor } from "../actors/actor.ts";
import type { Benchmark, Effort, Row } from "../benchmark.ts";
import { median, percentile } from "../statistics.ts";
import { type StoreKind, openPlace, postgresVersion } from "./stores.ts";
import { type Round, type System, openBoss, openWaybill } from "./systems.ts";

const bars = { sqlite: 10_000, postgres: 4_000, boss: 3, dispatchMs: 5, idlePercent: 0.5 };
/** Starting up is not idling. */
const settleMs = 1_500;

/** A command is handled, a row written, an event published and handled by a second service that notes it: two processes, end to end. */
export const outbox: Benchmark = {
  name: "outbox",
  run: async (effort) => {
    const kinds: readonly Exclude<StoreKind, "none">[] =
      (await postgresVersion()) === undefined ? ["sqlite"] : ["sqlite", "postgres"];
    const rows = await throughputRows(effort, kinds);
    for (const kind of kinds)
      rows.push(...(await dispatchRows(kind, effort)), await idleRow(kind, effort));
    return rows;
  },
};

async function throughputRows(effort: Effort, kinds: readonly StoreKind[]): Promise<Row[]> {
  const { profile } = effort;
  const systems = new Map<string, () => Promise<System>>([
    ["no store", () => openWaybill("none", undefined)],
    ...kinds.map((kind) => [kind, () => openWaybill(kind, profile)] as const),
    ...(kinds.includes("postgres") ? [["pg-boss", () => openBoss()] as const] : []),
  ]);
  const results = await inTurns(systems, effort);
  const bare = results.get("no store") ?? [];
  const rows: Row[] = [rowOf("outbox: same handlers, no store", bare)];
  for (const kind of ["sqlite", "postgres"] as const) {
    const ours = results.get(kind);
    if (ours === undefined) {
      rows.push(absent(`outbox: ${kind}`));
      continue;
    }
    rows.push(
      {
        ...rowOf(`outbox: ${kind}, command → row + event → inbox`, ours),
        bar: atLeast(bars[kind]),
      },
      { name: `outbox: ${kind} ÷ no store`, value: ratioOf(ours, bare), unit: "×" },
    );
  }
  const theirs = results.get("pg-boss");
  if (theirs === undefined) return [...rows, absent("pg-boss")];
  const ratio = ratioOf(results.get("postgres") ?? [], theirs);
  return [
    ...rows,
    rowOf("pg-boss: the same, 100 messages in a transaction", theirs),
    { name: "outbox: postgres ÷ pg-boss", value: ratio, unit: "×", bar: atLeast(bars.boss) },
  ];
}

/** Rounds of all systems one after another, so that a change of the machine's load meets all of them. */
async function inTurns(
  systems: ReadonlyMap<string, () => Promise<System>>,
  { runs, quick, say }: Effort,
): Promise<Map<string, Round[]>> {
  const count = quick ? 5_000 : 20_000;
  await using cleaning = new AsyncDisposableStack();
  const opened = new Map<string, System>();
  for (const [name, open] of systems) {
    const system = cleaning.use(await open());
    await system.round(count / 2);
    opened.set(name, system);
  }
  const results = new Map<string, Round[]>();
  for (let run = 1; run <= runs; run++)
    for (const [name, system] of opened) {
      const round = await system.round(count);
      results.set(name, [...(results.get(name) ?? []), round]);
      say(`outbox, ${name}, run ${run}: ${Math.round(round.perSecond)}/s`);
    }
  return results;
}

/** One at a time: from inside the transaction to the handler in another process. */
async function dispatchRows(kind: StoreKind, { runs, quick, say }: Effort): Promise<Row[]> {
  const count = quick ? 300 : 1_000;
  await using place = await openPlace(kind);
  const { directory, urls } = place;
  const settings = { kind, directory, urls };
  const part = (name: string): Promise<Actor<readonly number[]>> =>
    Actor.start(new URL(`${name}.actor.ts`, import.meta.url), settings);
  await using listener = await part("listener");
  await using pacer = await part("pacer");
  const medians: number[] = [];
  const tails: number[] = [];
  for (let run = 0; run <= runs; run++) {
    // The first one warms the compiler.
    const size = run === 0 ? 200 : count;
    await listener.begin(size);
    await pacer.begin(size);
    await pacer.result();
    const { result } = await listener.result();
    if (run === 0) continue;
    medians.push(percentile(result, 0.5));
    tails.push(percentile(result, 0.99));
    say(`outbox, ${kind}, written → handler: p50 ${medians.at(-1)?.toFixed(2)} ms`);
  }
  const name = `outbox: ${kind}, before COMMIT → handler elsewhere`;
  return [
    { name: `${name}: p50`, value: median(medians), unit: "ms", bar: { atMost: bars.dispatchMs } },
    { name: `${name}: p99`, value: median(tails), unit: "ms" },
  ];
}

async function idleRow(kind: StoreKind, { quick, say }: Effort): Promise<Row> {
  const ms = quick ? 5_000 : 25_000;
  say(`outbox, ${kind}: ${ms / 1_000} seconds of nothing`);
  await using place = await openPlace(kind);
  const { directory, urls } = place;
  const file = new URL("idle.actor.ts", import.meta.url);
  await using actor = await Actor.start<number>(file, { kind, directory, urls });
  await sleep(settleMs);
  await actor.begin(ms);
  const { result } = await actor.result();
  const bar = { atMost: bars.idlePercent };
  return { name: `outbox: ${kind}, idle process`, value: result * 100, unit: "% core", bar };
}

function rowOf(name: string, rounds: readonly Round[]): Row {
  const duplicates = rounds.reduce((sum, each) => sum + each.duplicates, 0);
  const first = median(rounds.map(({ handlingCpuSeconds }) => handlingCpuSeconds));
  const second = median(rounds.map(({ cpuSeconds }) => cpuSeconds));
  const cost = `CPU ${first.toFixed(1)} s first service, ${second.toFixed(1)} s sender and second service`;
  return {
    name,
    value: median(rounds.map(({ perSecond }) => perSecond)),
    unit: "msg/s",
    note: `${cost}${duplicates > 0 ? `; ${duplicates} handled twice` : ""}`,
  };
}

function ratioOf(ours: readonly Round[], theirs: readonly Round[]): number {
  return median(
    ours.map(({ perSecond }, run) => perSecond / (theirs[run]?.perSecond ?? Number.NaN)),
  );
}

function atLeast(least: number): { readonly atLeast: number } {
  return { atLeast: least };
}

function absent(name: string): Row {
  return { name, value: undefined, unit: "msg/s", note: "not running here" };
}
