import { command, connect, embedded, event, service } from "waybill";
import * as z from "zod";
import { monotonicMs, perform } from "../actors/stage.ts";
import { median } from "../statistics.ts";

export interface WideSettings {
  readonly directory: string;
  readonly queues: number;
  readonly subscriptions: number;
}

export interface Wide {
  readonly connectMs: number;
  readonly megabytes: number;
  readonly publishMs: number;
  readonly handledMs: number;
  readonly healthMs: number;
}

/** One process with a handler on every queue and every subscription. A round publishes `count` events, one after another. */
await perform(async ({ directory, queues, subscriptions }: WideSettings) => {
  const input = z.object({ number: z.number() });
  const Happened = event("bench.happened", { payload: input });
  let handled = 0;
  let everybody = Promise.withResolvers<void>();
  const owners = Array.from({ length: queues }, (_, index) =>
    service(`bench-owner-${index}`).handle(command(`bench.do-${index}`, { input }), () => {}),
  );
  const listeners = Array.from({ length: subscriptions }, (_, index) =>
    service(`bench-listener-${index}`).on(Happened, () => {
      if (++handled === subscriptions) everybody.resolve();
    }),
  );
  const publisher = service("bench-publisher", { publishes: [Happened] });
  const beganAt = monotonicMs();
  const bus = await connect({
    transport: embedded({ directory }),
    services: [publisher, ...owners, ...listeners],
  });
  const connectMs = monotonicMs() - beganAt;
  return {
    round: async (count): Promise<Wide> => {
      const publishes: number[] = [];
      const handlings: number[] = [];
      const healths: number[] = [];
      for (let number = 0; number < count; number++) {
        handled = 0;
        everybody = Promise.withResolvers<void>();
        const from = monotonicMs();
        await bus.publish(Happened, { number });
        publishes.push(monotonicMs() - from);
        await everybody.promise;
        handlings.push(monotonicMs() - from);
        const asked = monotonicMs();
        await bus.health();
        healths.push(monotonicMs() - asked);
      }
      return {
        connectMs,
        megabytes: process.memoryUsage().rss / 1e6,
        publishMs: median(publishes),
        handledMs: median(handlings),
        healthMs: median(healths),
      };
    },
    close: () => bus.close(),
  };
});
