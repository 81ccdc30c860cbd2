import { Queue } from "bullmq";
import { inLanes, monotonicMs, perform } from "../actors/stage.ts";
import type { Produced } from "../embedded/producer.actor.ts";
import { order } from "../workload.ts";
import type { BullSettings } from "./twin.ts";

await perform(async ({ queue: name, port, batch, lanes }: BullSettings) => {
  const queue = new Queue(name, { connection: { host: "127.0.0.1", port } });
  await queue.waitUntilReady();
  let base = 0;
  const opts = { removeOnComplete: true, removeOnFail: true };
  return {
    round: async (count): Promise<Produced> => {
      const beganAt = monotonicMs();
      await inLanes(lanes, Math.ceil(count / batch), (index) => {
        const size = Math.min(batch, count - index * batch);
        return queue.addBulk(
          Array.from({ length: size }, (_, place) => ({
            name: "place",
            data: order(base + index * batch + place),
            opts,
          })),
        );
      });
      base += count;
      return { beganAt, endedAt: monotonicMs() };
    },
    close: () => queue.close(),
  };
});
