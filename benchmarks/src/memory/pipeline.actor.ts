import { setTimeout as sleep } from "node:timers/promises";
import { connect, memory, service } from "waybill";
import { Checklist } from "../actors/checklist.ts";
import { inLanes, monotonicMs, perform } from "../actors/stage.ts";
import { order, PlaceOrder } from "../workload.ts";

export interface Ran {
  readonly ms: number;
  /** Of the thread that runs JavaScript alone, without the garbage collector's helpers. */
  readonly threadCpuSeconds: number;
}

const inFlight = 1_000;
const concurrency = 1_000;

await perform(async () => {
  const checklist = new Checklist();
  const consumer = service("bench-consumer").handle(
    PlaceOrder,
    (placed) => checklist.tick(placed.number),
    { concurrency },
  );
  const bus = await connect({ transport: memory(), services: [consumer] });
  let base = 0;
  return {
    round: async (count): Promise<Ran> => {
      const complete = checklist.expect(count);
      const cpu = process.threadCpuUsage();
      const beganAt = monotonicMs();
      await inLanes(inFlight, count, (number) => bus.send(PlaceOrder, order(base + number)));
      await complete;
      base += count;
      while (((await bus.health()).contracts[PlaceOrder.name]?.handled ?? 0) < base) await sleep(1);
      const { user, system } = process.threadCpuUsage(cpu);
      return { ms: monotonicMs() - beganAt, threadCpuSeconds: (user + system) / 1e6 };
    },
    close: () => bus.close(),
  };
});
