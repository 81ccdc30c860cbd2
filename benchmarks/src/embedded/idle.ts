import { setTimeout as sleep } from "node:timers/promises";
import { Actor } from "../actors/actor.ts";
import type { Benchmark } from "../benchmark.ts";
import { temporaryDirectory } from "../directory.ts";

const percentMax = 0.5;
/** Starting up is not idling. */
const settleMs = 1_500;

export const idle: Benchmark = {
  name: "idle",
  run: async ({ quick, say }) => {
    const ms = quick ? 5_000 : 15_000;
    say(`idle: ${ms / 1_000} seconds of nothing`);
    await using directory = await temporaryDirectory();
    await using actor = await Actor.start<number>(new URL("idle.actor.ts", import.meta.url), {
      directory: directory.path,
    });
    await sleep(settleMs);
    await actor.begin(ms);
    const { result } = await actor.result();
    return [
      {
        name: "embedded, idle process with two handlers",
        value: result * 100,
        unit: "% core",
        bar: { atMost: percentMax },
      },
    ];
  },
};
