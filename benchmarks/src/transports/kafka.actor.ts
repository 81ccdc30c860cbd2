import {
  Consumer,
  MessagesStreamFallbackModes,
  MessagesStreamModes,
  ProduceAcks,
  Producer,
} from "@platformatic/kafka";
import { Checklist } from "../actors/checklist.ts";
import { inLanes, monotonicMs, type Part, perform } from "../actors/stage.ts";
import { type Order, order } from "../workload.ts";
import type { Phase, PhaseSettings } from "./phase.ts";

await perform((settings: PhaseSettings) =>
  Promise.resolve(settings.role === "producer" ? produce(settings) : consume(settings)),
);

/** Every copy in sync has it, and the broker leaves out what is sent twice: as Waybill sends. */
function produce({ url, prefix, batch, lanes }: PhaseSettings): Part {
  const producer = new Producer({
    clientId: "bench-producer",
    bootstrapBrokers: [new URL(url).host],
    acks: ProduceAcks.ALL,
    idempotent: true,
  });
  const topic = `${prefix}.raw`;
  let base = 0;
  const send = async (from: number, size: number): Promise<void> => {
    const messages = Array.from({ length: size }, (_, index) => ({
      topic,
      value: Buffer.from(JSON.stringify(order(from + index))),
    }));
    await producer.send({ messages });
  };
  return {
    round: async (count): Promise<Phase> => {
      const beganAt = monotonicMs();
      await inLanes(lanes, Math.ceil(count / batch), (index) =>
        send(base + index * batch, Math.min(batch, count - index * batch)),
      );
      base += count;
      return { beganAt, endedAt: monotonicMs(), duplicates: 0 };
    },
    close: () => producer.close(),
  };
}

/** What was handled while one commit is under way goes with the next: as Waybill commits. */
function consume({ url, prefix }: PhaseSettings): Part {
  const checklist = new Checklist();
  const topic = `${prefix}.raw`;
  return {
    round: async (count): Promise<Phase> => {
      const complete = checklist.expect(count);
      const consumer = new Consumer({
        clientId: "bench-consumer",
        bootstrapBrokers: [new URL(url).host],
        groupId: `${prefix}.raw`,
        autocommit: false,
      });
      const stream = await consumer.consume({
        topics: [topic],
        mode: MessagesStreamModes.COMMITTED,
        fallbackMode: MessagesStreamFallbackModes.EARLIEST,
      });
      const handled = new Map<number, bigint>();
      let isCommitting = false;
      let committed = Promise.resolve();
      const commit = async (): Promise<void> => {
        isCommitting = true;
        while (handled.size > 0) {
          const offsets = [...handled].map(([partition, offset]) => ({
            topic,
            partition,
            offset: offset + 1n,
            leaderEpoch: -1,
          }));
          handled.clear();
          await consumer.commit({ offsets });
        }
        isCommitting = false;
      };
      let beganAt: number | undefined;
      stream.on("data", ({ value, partition, offset }) => {
        beganAt ??= monotonicMs();
        checklist.tick((JSON.parse(value.toString()) as Order).number);
        handled.set(partition, offset);
        if (!isCommitting) committed = commit();
      });
      await complete;
      await committed;
      const endedAt = monotonicMs();
      await stream.close();
      await consumer.close();
      return { beganAt: beganAt ?? endedAt, endedAt, duplicates: checklist.duplicates };
    },
    close: () => Promise.resolve(),
  };
}
