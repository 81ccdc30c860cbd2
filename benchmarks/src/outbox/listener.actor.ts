import { connect, embedded, service } from "waybill";
import { Checklist } from "../actors/checklist.ts";
import { monotonicMs, perform } from "../actors/stage.ts";
import { OrderPlaced } from "./contracts.ts";
import type { Place } from "./stores.ts";

/** Answers how long before its handler each event was written, inside a transaction that was not yet committed. */
await perform(async ({ directory }: Place) => {
  const checklist = new Checklist();
  let latencies: number[] = [];
  const listening = service("bench-listening").on(OrderPlaced, ({ number, placedAt }) => {
    latencies.push(monotonicMs() - placedAt);
    checklist.tick(number);
  });
  const bus = await connect({ transport: embedded({ directory }), services: [listening] });
  return {
    round: async (count): Promise<readonly number[]> => {
      latencies = [];
      await checklist.expect(count);
      return latencies;
    },
    close: () => bus.close(),
  };
});
