import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { Checklist } from "../actors/checklist.ts";
import { inLanes, monotonicMs, perform } from "../actors/stage.ts";
import { type Order, order } from "../workload.ts";
import type { Phase, PhaseSettings } from "./phase.ts";

await perform(async ({ role, url, prefix, batch, lanes, prefetch, confirmed }: PhaseSettings) => {
  const connection = await connect({ servers: new URL(url).host });
  const manager = await jetstreamManager(connection);
  const name = confirmed === true ? "raw-confirmed" : "raw";
  const stream = `${prefix}_${name}`;
  const subject = `${prefix}.${name}.orders`;
  if (role === "producer") {
    await manager.streams.add({ name: stream, subjects: [subject], retention: "workqueue" });
    await manager.consumers.add(stream, {
      durable_name: "bench",
      ack_policy: AckPolicy.Explicit,
      max_ack_pending: prefetch,
    });
    const client = jetstream(connection);
    let base = 0;
    const publish = async (from: number, size: number): Promise<void> => {
      const sent = Array.from({ length: size }, (_, index) =>
        client.publish(subject, JSON.stringify(order(from + index))),
      );
      await Promise.all(sent);
    };
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
  return {
    round: async (count): Promise<Phase> => {
      const complete = checklist.expect(count);
      let beganAt: number | undefined;
      const consumer = await jetstream(connection).consumers.get(stream, "bench");
      const confirmations: Promise<unknown>[] = [];
      const messages = await consumer.consume({
        max_messages: prefetch,
        callback: (message) => {
          beganAt ??= monotonicMs();
          checklist.tick(message.json<Order>().number);
          if (confirmed === true) confirmations.push(message.ackAck());
          else message.ack();
        },
      });
      await complete;
      await Promise.all(confirmations);
      // Answered after the acknowledgements before it: this is "settled".
      await connection.flush();
      const endedAt = monotonicMs();
      await messages.close();
      return { beganAt: beganAt ?? endedAt, endedAt, duplicates: checklist.duplicates };
    },
    close: () => connection.close(),
  };
});
