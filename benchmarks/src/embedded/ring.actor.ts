import { setTimeout as sleep } from "node:timers/promises";
import { connect, embedded, service } from "waybill";
import { inLanes, monotonicMs, perform } from "../actors/stage.ts";
import { order, PlaceOrder, shop } from "../workload.ts";

export interface RingSettings {
  readonly directory: string;
  /** Messages that wait all the time. */
  readonly waiting: number;
}

export interface Turned {
  readonly ms: number;
  readonly cpuSeconds: number;
}

/** Long enough for what was claimed before the pause to be settled. */
const pauseMs = 100;

/** Each handler completes one message and sends one, in one transaction, so that as many wait at the end as at the beginning. */
await perform(async ({ directory, waiting }: RingSettings) => {
  let handled = 0;
  let target = Number.POSITIVE_INFINITY;
  let reached = (): void => {};
  const ring = service("bench-ring", { sends: [PlaceOrder] }).handle(
    PlaceOrder,
    async (placed, context) => {
      await context.send(PlaceOrder, placed);
      handled += 1;
      if (handled >= target) reached();
    },
    { concurrency: 500, prefetch: 500 },
  );
  await fill(directory, waiting);
  const bus = await connect({ transport: embedded({ directory }), services: [ring] });
  bus.pauseHere(PlaceOrder.queue);
  await sleep(pauseMs);
  return {
    round: async (count): Promise<Turned> => {
      target = handled + count;
      const done = new Promise<void>((resolve) => (reached = resolve));
      const cpu = process.cpuUsage();
      const beganAt = monotonicMs();
      bus.resumeHere(PlaceOrder.queue);
      await done;
      const ms = monotonicMs() - beganAt;
      const { user, system } = process.cpuUsage(cpu);
      bus.pauseHere(PlaceOrder.queue);
      await sleep(pauseMs);
      return { ms, cpuSeconds: (user + system) / 1e6 };
    },
    close: () => bus.close(),
  };
});

async function fill(directory: string, waiting: number): Promise<void> {
  await using bus = await connect({
    transport: embedded({ directory }),
    services: [shop],
  });
  await inLanes(2_000, waiting, (number) => bus.send(PlaceOrder, order(number)));
}
