import { Actor, type Played } from "../actors/actor.ts";
import type { Benchmark } from "../benchmark.ts";
import { median } from "../statistics.ts";
import type { Ran } from "./pipeline.actor.ts";

const perCoreMin = 150_000;

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
    await using loop = await Actor.start<Ran>(new URL("bare.actor.ts", import.meta.url), {});
    const figures: { perCore: number; perSecond: number; bare: number }[] = [];
    for (let run = -1; run < runs; run++) {
      const ours = await one(pipeline, count);
      const theirs = await one(loop, count);
      // The first one warms the compiler.
      if (run < 0) continue;
      const figure = {
        perCore: count / ours.cpuSeconds,
        perSecond: (count / ours.result.ms) * 1_000,
        bare: count / theirs.cpuSeconds,
      };
      figures.push(figure);
      say(
        `in memory, run ${run + 1}: ${Math.round(figure.perCore)} per CPU second, ${Math.round(figure.perSecond)}/s; bare calls ${Math.round(figure.bare)} per CPU second`,
      );
    }
    return [
      {
        name: "in memory: send → handled → settled, per core",
        value: median(figures.map(({ perCore }) => perCore)),
        unit: "msg/CPU s",
        bar: { atLeast: perCoreMin },
        note: "CPU time of all threads, garbage collector included",
      },
      {
        name: "in memory: the same by the clock",
        value: median(figures.map(({ perSecond }) => perSecond)),
        unit: "msg/s",
        note: "what else ran on the machine counts against it",
      },
      {
        name: "in memory: bare loop (check, JSON both ways, check, call), per core",
        value: median(figures.map(({ bare }) => bare)),
        unit: "msg/CPU s",
        note: "the ceiling, without any framework",
      },
      {
        name: "in memory: share of the bare loop",
        value: median(figures.map((each) => each.perCore / each.bare)),
        unit: "×",
      },
    ];
  },
};

async function one(actor: Actor<Ran>, count: number): Promise<Played<Ran>> {
  await actor.begin(count);
  return actor.result();
}
