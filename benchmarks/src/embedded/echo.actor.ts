import { connect, embedded, service } from "waybill";
import { monotonicMs, perform } from "../actors/stage.ts";
import { Checklist } from "../actors/checklist.ts";
import { GetPrice, PlaceOrder } from "../workload.ts";

export interface EchoSettings {
  readonly directory: string;
}

/** Handles and answers; a round gives how long each message took from before its send to its handler. */
await perform(async ({ directory }: EchoSettings) => {
  const checklist = new Checklist();
  let latencies: number[] = [];
  const echo = service("bench-echo")
    .handle(PlaceOrder, ({ number, placedAt }) => {
      latencies.push(monotonicMs() - placedAt);
      checklist.tick(number);
    })
    .answer(GetPrice, ({ sku }) => ({ sku, price: 5.9 }));
  const bus = await connect({ transport: embedded({ directory }), services: [echo] });
  return {
    round: async (count): Promise<readonly number[]> => {
      latencies = [];
      await checklist.expect(count);
      return latencies;
    },
    close: () => bus.close(),
  };
});
