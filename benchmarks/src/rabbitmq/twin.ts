import { randomUUID } from "node:crypto";
import { connect } from "amqplib";
import type { Twin } from "../twin.ts";

export interface RabbitSettings {
  readonly queue: string;
  readonly url: string;
  /** Messages that are confirmed together. */
  readonly batch: number;
  /** Batches at a time. */
  readonly lanes: number;
  readonly prefetch: number;
}

const url = "amqp://127.0.0.1:5672";

/** amqplib alone on a quorum queue of the RabbitMQ of this machine, if there is one. */
export const rabbitmq: Twin = {
  name: "amqplib on a RabbitMQ quorum queue",
  files: {
    producer: new URL("producer.actor.ts", import.meta.url),
    consumer: new URL("consumer.actor.ts", import.meta.url),
  },
  version: async () => {
    try {
      const connection = await connect(url, { timeout: 3_000 });
      const { version } = connection.connection.serverProperties;
      await connection.close();
      return `RabbitMQ ${version}`;
    } catch {
      return undefined;
    }
  },
  open: async () => {
    const settings: RabbitSettings = {
      queue: `waybill.bench.${randomUUID()}`,
      url,
      batch: 100,
      lanes: 10,
      prefetch: 1_000,
    };
    const connection = await connect(url);
    const channel = await connection.createChannel();
    await channel.assertQueue(settings.queue, {
      durable: true,
      arguments: { "x-queue-type": "quorum" },
    });
    return {
      settings,
      [Symbol.asyncDispose]: async () => {
        await channel.deleteQueue(settings.queue);
        await connection.close();
      },
    };
  },
};
