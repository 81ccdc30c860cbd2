import { Actor } from "../actors/actor.ts";
import type { Benchmark } from "../benchmark.ts";
import { temporaryDirectory } from "../directory.ts";
import type { Wide } from "./wide.actor.ts";

const queues = 1_000;
const subscriptions = 2_000;

/** Many addresses in one process: what a large system costs that has nothing to do, and one event for everybody. */
export const wide: Benchmark = {
  name: "wide",
  run: async ({ quick, say }) => {
    await using directory = await temporaryDirectory();
    await using actor = await Actor.start<Wide>(new URL("wide.actor.ts", import.meta.url), {
      directory: directory.path,
      queues,
      subscriptions,
    });
    await actor.begin(quick ? 3 : 9);
    const { result } = await actor.result();
    const what = `${queues} queues, ${subscriptions} subscriptions on one topic`;
    say(`wide: connected in ${Math.round(result.connectMs)} ms`);
    return [
      { name: `embedded, ${what}: connect()`, value: result.connectMs, unit: "ms" },
      {
        name: "embedded, the same: memory of the process",
        value: result.megabytes,
        unit: "MB",
        note: "resident, Node and zod included",
      },
      {
        name: "embedded, the same: publish",
        value: result.publishMs,
        unit: "ms",
        note: "until it is stored for all",
      },
      { name: "embedded, the same: handled by all", value: result.handledMs, unit: "ms" },
      { name: "embedded, the same: health()", value: result.healthMs, unit: "ms" },
    ];
  },
};
