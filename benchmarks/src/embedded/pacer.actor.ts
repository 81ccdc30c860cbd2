import { setTimeout as sleep } from "node:timers/promises";
import { connect, embedded } from "waybill";
import { monotonicMs, perform } from "../actors/stage.ts";
import { GetPrice, order, PlaceOrder, shop } from "../workload.ts";

export interface PacerSettings {
  readonly directory: string;
  /** What it does, one at a time. */
  readonly verb: "send" | "ask";
}

/** For `ask` the round trips; for `send` how long each took to be stored. */
export type Paced = readonly number[];

/** Longer than a message takes, so that each one finds everybody asleep. */
const pauseMs = 2;

await perform(async ({ directory, verb }: PacerSettings) => {
  const bus = await connect({ transport: embedded({ directory }), services: [shop] });
  const step =
    verb === "send"
      ? (number: number) => bus.send(PlaceOrder, order(number, monotonicMs()))
      : () => bus.ask(GetPrice, { sku: "tea" });
  let base = 0;
  return {
    round: async (count): Promise<Paced> => {
      const durations: number[] = [];
      for (let number = base; number < base + count; number++) {
        const beganAt = monotonicMs();
        await step(number);
        durations.push(monotonicMs() - beganAt);
        await sleep(pauseMs);
      }
      base += count;
      return durations;
    },
    close: () => bus.close(),
  };
});
