import { setTimeout as sleep } from "node:timers/promises";
import { connect, embedded, service } from "waybill";
import { Checklist } from "../actors/checklist.ts";
import { monotonicMs, perform } from "../actors/stage.ts";
import { PlaceOrder } from "../workload.ts";

export interface ConsumerSettings {
  readonly directory: string;
  /** Handlers at the same time; the framework's default when absent. */
  readonly concurrency?: number;
}

export interface Consumed {
  /** When the last message was not only handled but settled. */
  readonly settledAt: number;
  readonly duplicates: number;
}

const settledPollMs = 1;

await perform(async ({ directory, concurrency }: ConsumerSettings) => {
  const checklist = new Checklist();
  const consumer = service("bench-consumer").handle(
    PlaceOrder,
    (order) => checklist.tick(order.number),
    concurrency === undefined ? {} : { concurrency, prefetch: 2 * concurrency },
  );
  const bus = await connect({ transport: embedded({ directory }), services: [consumer] });
  let expected = 0;
  return {
    round: async (count): Promise<Consumed> => {
      const complete = checklist.expect(count);
      expected += count;
      await complete;
      while (((await bus.health()).contracts[PlaceOrder.name]?.handled ?? 0) < expected)
        await sleep(settledPollMs);
      return { settledAt: monotonicMs(), duplicates: checklist.duplicates };
    },
    close: () => bus.close(),
  };
});
