import { Actor } from "../actors/actor.ts";
import type { Benchmark } from "../benchmark.ts";
import { median } from "../statistics.ts";
import type { Ran } from "./pipeline.actor.ts";

const perSecondMin = 150_000;

/** The whole pipeline in one process, beside the bare calls that it cannot do without. */
export const inMemory: Benchmark = {
  name: "memory",
  run: async ({ runs, quick, profile, say }) => {
    const count = quick ? 100_000 : 300_000;
    await using pipeline = await Actor.start<Ran>(
      new URL("pipeline.actor.ts", import.meta.url),
      {},
      { profile },
    );
    await using bare = await Actor.start<Ran>(new URL("bare.actor.ts", import.meta.url), {});
    const figures: { perSecond: number; perCpuSecond: number; bare: number }[] = [];
    for (let run = -1; run < runs; run++) {
      const ours = await one(pipeline, count);
      const theirs = await one(bare, count);
      // The first one warms the compiler.
      if (run < 0) continue;
      figures.push({
        perSecond: (count / ours.ms) * 1_000,
        perCpuSecond: count / ours.threadCpuSeconds,
        bare: (count / theirs.ms) * 1_000,
      });
      say(
        `in memory, run ${run + 1}: ${Math.round(figures.at(-1)?.perSecond ?? 0)}/s, bare calls ${Math.round(figures.at(-1)?.bare ?? 0)}/s`,
      );
    }
    const perCpuSecond = Math.round(median(figures.map((each) => each.perCpuSecond)));
    return [
      {
        name: "in memory: send → handled → settled",
        value: median(figures.map((each) => each.perSecond)),
        unit: "msg/s",
        bar: { atLeast: perSecondMin },
        note: `${perCpuSecond} msg per CPU second of its thread`,
      },
      {
        name: "in memory: bare loop (check, JSON both ways, check, call)",
        value: median(figures.map((each) => each.bare)),
        unit: "msg/s",
        note: "the ceiling, without any framework",
      },
      {
        name: "in memory: share of the bare loop",
        value: median(figures.map((each) => each.perSecond / each.bare)),
        unit: "×",
      },
    ];
  },
};

async function one(actor: Actor<Ran>, count: number): Promise<Ran> {
  await actor.begin(count);
  return (await actor.result()).result;
}
