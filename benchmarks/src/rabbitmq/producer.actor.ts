import { connect } from "amqplib";
import { inLanes, monotonicMs, perform } from "../actors/stage.ts";
import type { Produced } from "../embedded/producer.actor.ts";
import { order } from "../workload.ts";
import type { RabbitSettings } from "./twin.ts";

await perform(async ({ queue, url, batch, lanes }: RabbitSettings) => {
  const connection = await connect(url);
  const channel = await connection.createConfirmChannel();
  let base = 0;
  /** Resolves when the broker has confirmed every message of the batch. */
  const publish = (from: number, size: number): Promise<void> =>
    new Promise((resolve, reject) => {
      let left = size;
      for (let number = from; number < from + size; number++) {
        const body = Buffer.from(JSON.stringify(order(number)));
        channel.publish(
          "",
          queue,
          body,
          { persistent: true, contentType: "application/json" },
          (error: unknown) => {
            if (error) reject(new Error("RabbitMQ refused a message.", { cause: error }));
            else if (--left === 0) resolve();
          },
        );
      }
    });
  return {
    round: async (count): Promise<Produced> => {
      const beganAt = monotonicMs();
      await inLanes(lanes, Math.ceil(count / batch), (index) =>
        publish(base + index * batch, Math.min(batch, count - index * batch)),
      );
      base += count;
      return { beganAt, endedAt: monotonicMs() };
    },
    close: () => connection.close(),
  };
});
