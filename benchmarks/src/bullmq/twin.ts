import { randomUUID } from "node:crypto";
import { Queue } from "bullmq";
import { Redis } from "ioredis";
import type { Twin } from "../twin.ts";

export interface BullSettings {
  readonly queue: string;
  readonly port: number;
  /** Jobs of one addBulk(). */
  readonly batch: number;
  /** Calls of addBulk() at a time. */
  readonly lanes: number;
  readonly concurrency: number;
}

const port = 6379;

/** BullMQ on the Redis of this machine, if there is one. */
export const bullmq: Twin = {
  name: "BullMQ on Redis",
  files: {
    producer: new URL("producer.actor.ts", import.meta.url),
    consumer: new URL("consumer.actor.ts", import.meta.url),
  },
  version: async () => {
    const redis = new Redis({
      port,
      host: "127.0.0.1",
      lazyConnect: true,
      retryStrategy: () => null,
    });
    redis.on("error", () => {});
    try {
      await redis.connect();
      const version = /redis_version:(\S+)/.exec(await redis.info("server"))?.[1] ?? "unknown";
      const persistence = /aof_enabled:1/.test(await redis.info("persistence"))
        ? "append-only file"
        : "no append-only file";
      return `Redis ${version} (${persistence})`;
    } catch {
      return undefined;
    } finally {
      redis.disconnect();
    }
  },
  open: async () => {
    const settings: BullSettings = {
      queue: `waybill-bench-${randomUUID()}`,
      port,
      batch: 100,
      lanes: 10,
      concurrency: 1_000,
    };
    return {
      settings,
      [Symbol.asyncDispose]: async () => {
        const queue = new Queue(settings.queue, { connection: { host: "127.0.0.1", port } });
        await queue.obliterate({ force: true });
        await queue.close();
        await removeKeys(settings.queue);
      },
    };
  },
};

/** BullMQ leaves its event stream and its counters behind. */
async function removeKeys(queue: string): Promise<void> {
  const redis = new Redis({ port, host: "127.0.0.1" });
  const keys = await redis.keys(`bull:${queue}:*`);
  if (keys.length > 0) await redis.unlink(keys);
  redis.disconnect();
}
