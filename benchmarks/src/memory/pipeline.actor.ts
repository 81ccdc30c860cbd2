import { setTimeout as sleep } from "node:timers/promises";
import { connect, memory, service } from "waybill";
import { Checklist } from "../actors/checklist.ts";
import { inLanes, monotonicMs, perform } from "../actors/stage.ts";
import { order, PlaceOrder } from "../workload.ts";

export interface Ran {
  readonly ms: number;
}

/** Sends, and handlers, at a time. */
const inFlight = 256;

await perform(async () => {
  const checklist = new Checklist();
  const consumer = service("bench-consumer").handle(
    PlaceOrder,
    (placed) => checklist.tick(placed.number),
    { concurrency: inFlight },
  );
  const bus = await connect({ transport: memory(), services: [consumer] });
  let base = 0;
  return {
    round: async (count): Promise<Ran> => {
      const complete = checklist.expect(count);
      const beganAt = monotonicMs();
      await inLanes(inFlight, count, (number) => bus.send(PlaceOrder, order(base + number)));
      await complete;
      base += count;
      while (((await bus.health()).contracts[PlaceOrder.name]?.handled ?? 0) < base) await sleep(1);
      return { ms: monotonicMs() - beganAt };
    },
    close: () => bus.close(),
  };
});
