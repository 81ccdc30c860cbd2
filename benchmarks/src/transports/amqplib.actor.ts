import { connect } from "amqplib";
import { Checklist } from "../actors/checklist.ts";
import { inLanes, monotonicMs, perform } from "../actors/stage.ts";
import { type Order, order } from "../workload.ts";
import type { Phase, PhaseSettings } from "./phase.ts";

await perform(async ({ role, url, prefix, batch, lanes, prefetch }: PhaseSettings) => {
  const queue = `${prefix}.amqplib`;
  const connection = await connect(url);
  if (role === "producer") {
    const channel = await connection.createConfirmChannel();
    await channel.assertQueue(queue, { durable: true, arguments: { "x-queue-type": "quorum" } });
    let base = 0;
    const publish = (from: number, size: number): Promise<void> =>
      new Promise((resolve, reject) => {
        let left = size;
        for (let number = from; number < from + size; number++) {
          const body = Buffer.from(JSON.stringify(order(number)));
          const options = { persistent: true, contentType: "application/json" };
          channel.publish("", queue, body, options, (error: unknown) => {
            if (error) reject(new Error("RabbitMQ refused a message.", { cause: error }));
            else if (--left === 0) resolve();
          });
        }
      });
    return {
      round: async (count): Promise<Phase> => {
        const beganAt = monotonicMs();
        await inLanes(lanes, Math.ceil(count / batch), (index) =>
          publish(base + index * batch, Math.min(batch, count - index * batch)),
        );
        base += count;
        return { beganAt, endedAt: monotonicMs(), duplicates: 0 };
      },
      close: () => connection.close(),
    };
  }
  const checklist = new Checklist();
  const channel = await connection.createChannel();
  await channel.prefetch(prefetch);
  return {
    round: async (count): Promise<Phase> => {
      const complete = checklist.expect(count);
      let beganAt: number | undefined;
      const { consumerTag } = await channel.consume(queue, (message) => {
        if (message === null) return;
        beganAt ??= monotonicMs();
        checklist.tick((JSON.parse(message.content.toString()) as Order).number);
        channel.ack(message);
      });
      await complete;
      // Answered after the acknowledgements before it: this is "settled".
      await channel.checkQueue(queue);
      const endedAt = monotonicMs();
      await channel.cancel(consumerTag);
      return { beganAt: beganAt ?? endedAt, endedAt, duplicates: checklist.duplicates };
    },
    close: () => connection.close(),
  };
});
