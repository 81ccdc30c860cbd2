import { Worker } from "bullmq";
import { Checklist } from "../actors/checklist.ts";
import { monotonicMs, perform } from "../actors/stage.ts";
import type { Consumed } from "../embedded/consumer.actor.ts";
import type { Order } from "../workload.ts";
import type { BullSettings } from "./twin.ts";

await perform(async ({ queue, port, concurrency }: BullSettings) => {
  const checklist = new Checklist();
  const worker = new Worker<Order>(queue, async () => {}, {
    connection: { host: "127.0.0.1", port },
    concurrency,
  });
  // Told after the job was completed in Redis: this is "settled".
  worker.on("completed", (job) => checklist.tick(job.data.number));
  await worker.waitUntilReady();
  return {
    round: async (count): Promise<Consumed> => {
      await checklist.expect(count);
      return { settledAt: monotonicMs(), duplicates: checklist.duplicates };
    },
    close: () => worker.close(),
  };
});
