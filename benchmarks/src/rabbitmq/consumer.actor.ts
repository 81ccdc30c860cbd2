import { connect } from "amqplib";
import { Checklist } from "../actors/checklist.ts";
import { monotonicMs, perform } from "../actors/stage.ts";
import type { Consumed } from "../embedded/consumer.actor.ts";
import type { Order } from "../workload.ts";
import type { RabbitSettings } from "./twin.ts";

await perform(async ({ queue, url, prefetch }: RabbitSettings) => {
  const connection = await connect(url);
  const channel = await connection.createChannel();
  const checklist = new Checklist();
  await channel.prefetch(prefetch);
  await channel.consume(queue, (message) => {
    if (message === null) return;
    checklist.tick((JSON.parse(message.content.toString()) as Order).number);
    channel.ack(message);
  });
  return {
    round: async (count): Promise<Consumed> => {
      await checklist.expect(count);
      // Answered after the acknowledgements before it: this is "settled".
      await channel.checkQueue(queue);
      return { settledAt: monotonicMs(), duplicates: checklist.duplicates };
    },
    close: () => connection.close(),
  };
});
