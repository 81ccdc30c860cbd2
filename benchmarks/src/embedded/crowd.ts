import { Actor } from "../actors/actor.ts";
import type { Benchmark } from "../benchmark.ts";
import { temporaryDirectory } from "../directory.ts";
import { median } from "../statistics.ts";

/** Of the rate of two processes in the same run. */
const shareMin = 0.7;
const crowdSize = 8;
/** Of all processes together. */
const inFlight = 1_000;

/** Many processes on one file: what they do together, and whether each gets its turn. */
export const crowd: Benchmark = {
  name: "crowd",
  run: async ({ runs, quick, say }) => {
    const ms = quick ? 2_000 : 4_000;
    const figures: { pair: number; all: number; producers: number; consumers: number }[] = [];
    await using two = await crowdOf(2);
    await using eight = await crowdOf(crowdSize);
    for (let run = 0; run <= runs; run++) {
      const pair = await race(two.actors, ms);
      const all = await race(eight.actors, ms);
      if (run === 0) continue;
      figures.push({
        pair: pair.handled,
        all: all.handled,
        producers: all.fairnessOfProducers,
        consumers: all.fairnessOfConsumers,
      });
      say(
        `crowd, run ${run}: two processes ${Math.round(pair.handled)}/s, ${crowdSize} processes ${Math.round(all.handled)}/s, sent ${all.sentEach.join(" ")}, handled ${all.handledEach.join(" ")}`,
      );
    }
    return [
      {
        name: `embedded, ${crowdSize} processes on one file: handled by all`,
        value: median(figures.map(({ all }) => all)),
        unit: "msg/s",
        note: "4 producers, 4 consumers",
      },
      {
        name: `embedded, ${crowdSize} ÷ 2 processes`,
        value: median(figures.map(({ all, pair }) => all / pair)),
        unit: "×",
        bar: { atLeast: shareMin },
      },
      {
        name: `embedded, ${crowdSize} processes: least ÷ most sent`,
        value: median(figures.map(({ producers }) => producers)),
        unit: "×",
        note: "1 is even, 0 is starving",
      },
      {
        name: `embedded, ${crowdSize} processes: least ÷ most handled`,
        value: median(figures.map(({ consumers }) => consumers)),
        unit: "×",
        note: "1 is even, 0 is starving",
      },
    ];
  },
};

interface Actors {
  readonly consumers: readonly Actor<number>[];
  readonly producers: readonly Actor<number>[];
}

async function crowdOf(size: number): Promise<AsyncDisposable & { readonly actors: Actors }> {
  await using cleaning = new AsyncDisposableStack();
  const { path } = cleaning.use(await temporaryDirectory());
  const file = new URL("crowd.actor.ts", import.meta.url);
  const half = size / 2;
  const start = async (role: "producer" | "consumer"): Promise<Actor<number>[]> => {
    const actors: Actor<number>[] = [];
    for (let index = 0; index < half; index++)
      actors.push(
        cleaning.use(
          await Actor.start<number>(file, {
            directory: path,
            role,
            inFlight: Math.floor(inFlight / half),
          }),
        ),
      );
    return actors;
  };
  const actors = { consumers: await start("consumer"), producers: await start("producer") };
  const kept = cleaning.move();
  return { actors, [Symbol.asyncDispose]: async () => kept.disposeAsync() };
}

async function race(
  { consumers, producers }: Actors,
  ms: number,
): Promise<{
  handled: number;
  fairnessOfProducers: number;
  fairnessOfConsumers: number;
  sentEach: number[];
  handledEach: number[];
}> {
  await Promise.all([...consumers, ...producers].map((actor) => actor.begin(ms)));
  const handledEach = (await Promise.all(consumers.map((actor) => actor.result()))).map(
    ({ result }) => result,
  );
  const sentEach = (await Promise.all(producers.map((actor) => actor.result()))).map(
    ({ result }) => result,
  );
  for (const consumer of consumers) {
    await consumer.begin(0);
    await consumer.result();
  }
  const handled = (handledEach.reduce((sum, each) => sum + each, 0) / ms) * 1_000;
  return {
    handled,
    fairnessOfProducers: Math.min(...sentEach) / Math.max(...sentEach),
    fairnessOfConsumers: Math.min(...handledEach) / Math.max(...handledEach),
    sentEach,
    handledEach,
  };
}
