import type { Benchmark, Effort, Row } from "./benchmark.ts";
import { bullmq } from "./bullmq/twin.ts";
import { waybill } from "./embedded/twin.ts";
import { Pair, type Throughput } from "./pair.ts";
import { rabbitmq } from "./rabbitmq/twin.ts";
import { median } from "./statistics.ts";
import type { Twin } from "./twin.ts";

const perSecondMin = 40_000;
/** How many times a twin's throughput Waybill has to reach. */
const twins: readonly { readonly twin: Twin; readonly bar: number }[] = [
  { twin: bullmq, bar: 2 },
  { twin: rabbitmq, bar: 1 },
];

/** A producer and a consumer process, and the same with the twins, in turns. */
export const throughput: Benchmark = {
  name: "embedded",
  run: async (effort) => {
    const rows: Row[] = [];
    const here: Twin[] = [];
    for (const { twin } of twins) if ((await twin.version()) !== undefined) here.push(twin);
    const results = await inTurns([waybill, ...here], effort);
    const ours = results.get(waybill) ?? [];
    rows.push(
      {
        name: `${waybill.name}: two processes, FULL`,
        value: rateOf(ours),
        unit: "msg/s",
        bar: { atLeast: perSecondMin },
        note: costOf(ours),
      },
      {
        name: `${waybill.name}: two processes, default concurrency`,
        value: rateOf(await withDefaults(effort)),
        unit: "msg/s",
        note: "handler without options: 32 at a time",
      },
    );
    for (const { twin, bar } of twins) {
      const theirs = results.get(twin);
      if (theirs === undefined) {
        rows.push({ name: twin.name, value: undefined, unit: "msg/s", note: "not running here" });
        continue;
      }
      const ratio = median(
        ours.map(({ perSecond }, run) => perSecond / (theirs[run]?.perSecond ?? Number.NaN)),
      );
      rows.push(
        { name: twin.name, value: rateOf(theirs), unit: "msg/s", note: costOf(theirs) },
        { name: `${waybill.name} ÷ ${twin.name}`, value: ratio, unit: "×", bar: { atLeast: bar } },
      );
    }
    return rows;
  },
};

/** Rounds of all systems one after another, so that a change of the machine's load meets all of them. */
async function inTurns(
  systems: readonly Twin[],
  { runs, quick, profile, say }: Effort,
): Promise<Map<Twin, Throughput[]>> {
  const count = quick ? 50_000 : 200_000;
  const warmUp = quick ? 10_000 : 30_000;
  await using cleaning = new AsyncDisposableStack();
  const pairs: { twin: Twin; pair: Pair }[] = [];
  for (const twin of systems) {
    const pair = cleaning.use(await Pair.open(twin, twin === waybill ? { profile } : {}));
    await pair.round(warmUp);
    pairs.push({ twin, pair });
  }
  const results = new Map<Twin, Throughput[]>(systems.map((twin) => [twin, []]));
  for (let run = 1; run <= runs; run++) {
    for (const { twin, pair } of pairs) {
      const figures = await pair.round(count);
      results.get(twin)?.push(figures);
      say(`${twin.name}, run ${run}: ${Math.round(figures.perSecond)}/s, ${costOf([figures])}`);
    }
  }
  return results;
}

async function withDefaults({ quick, say }: Effort): Promise<Throughput[]> {
  await using pair = await Pair.open(waybill, { settings: { concurrency: undefined } });
  await pair.round(10_000);
  const figures = await pair.round(quick ? 30_000 : 100_000);
  say(`${waybill.name}, default concurrency: ${Math.round(figures.perSecond)}/s`);
  return [figures];
}

function rateOf(results: readonly Throughput[]): number {
  return median(results.map(({ perSecond }) => perSecond));
}

function costOf(results: readonly Throughput[]): string {
  const producer = median(results.map(({ producerCpuSeconds }) => producerCpuSeconds));
  const consumer = median(results.map(({ consumerCpuSeconds }) => consumerCpuSeconds));
  const sent = median(results.map(({ sentPerSecond }) => sentPerSecond));
  const duplicates = results.reduce((sum, each) => sum + each.duplicates, 0);
  return `CPU ${producer.toFixed(1)} s producer, ${consumer.toFixed(1)} s consumer; sent ${Math.round(sent)}/s${duplicates > 0 ? `; ${duplicates} handled twice` : ""}`;
}
