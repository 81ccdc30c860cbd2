import { Actor } from "../actors/actor.ts";
import type { Benchmark } from "../benchmark.ts";
import { temporaryDirectory } from "../directory.ts";
import { median } from "../statistics.ts";
import type { Turned } from "./ring.actor.ts";

const few = 1_000;
const shareMin = 0.9;

/** What a long queue costs: the same work with a thousand messages waiting all the time, and with a million. */
export const backlog: Benchmark = {
  name: "backlog",
  run: async ({ runs, quick, profile, say }) => {
    const many = quick ? 100_000 : 1_000_000;
    const count = quick ? 20_000 : 50_000;
    await using shallow = await ringOf(few, profile);
    say(`backlog: storing ${many} messages`);
    await using deep = await ringOf(many, profile);
    const figures: { few: number; many: number }[] = [];
    for (let run = 0; run <= runs; run++) {
      const pair = { few: await rate(shallow.actor, count), many: await rate(deep.actor, count) };
      // The first one warms the compiler.
      if (run === 0) continue;
      figures.push(pair);
      say(
        `backlog, run ${run}: ${Math.round(pair.few)}/s with ${few} waiting, ${Math.round(pair.many)}/s with ${many}`,
      );
    }
    const ofMany = median(figures.map((each) => each.many));
    return [
      {
        name: `embedded with ${few} waiting: claim, settle and send in one process`,
        value: median(figures.map((each) => each.few)),
        unit: "msg/s",
      },
      { name: `embedded with ${many} waiting: the same`, value: ofMany, unit: "msg/s" },
      {
        name: `embedded with ${many} ÷ ${few} waiting`,
        value: median(figures.map((each) => each.many / each.few)),
        unit: "×",
        bar: { atLeast: shareMin },
      },
    ];
  },
};

async function ringOf(
  waiting: number,
  profile: string | undefined,
): Promise<AsyncDisposable & { readonly actor: Actor<Turned> }> {
  await using cleaning = new AsyncDisposableStack();
  const directory = cleaning.use(await temporaryDirectory());
  const actor = cleaning.use(
    await Actor.start<Turned>(
      new URL("ring.actor.ts", import.meta.url),
      { directory: directory.path, waiting },
      { profile },
    ),
  );
  const kept = cleaning.move();
  return { actor, [Symbol.asyncDispose]: async () => kept.disposeAsync() };
}

async function rate(actor: Actor<Turned>, count: number): Promise<number> {
  await actor.begin(count);
  const { result } = await actor.result();
  return (count / result.ms) * 1_000;
}
